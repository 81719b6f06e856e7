// group_norm: z = x + shift, normalised over space and the channels of a group; y = act(normal gamma + beta), act
// nothing or SiLU (Wu and He 2018, arXiv 1803.08494). Three kernels: moments of blocks of rows, moments of groups, y.
#pragma once

#include "../bf16.h"
#include "../runtime.h"

namespace LORIKEET_CUDA {

// x, y [samples, rows, channels] of bf16 or float, channels last; groups divides channels.
template <typename T>
struct GroupNorm {
  int samples, rows, channels, groups;
  float eps;
  bool silu;
  const T* x;
  const float* gamma;  // [channels]
  const float* beta;   // [channels]
  const T* shift;      // [samples, channels], or null
  T* y;
  float* stats;      // [samples, groups, 2]: mean, 1 / std of z
  float* workspace;  // group_norm_workspace elements
};

int64_t group_norm_workspace(int samples, int rows, int groups);

template <typename T>
void launch_group_norm(const GroupNorm<T>& problem, Stream stream);  // for T = float and bf16

}  // namespace LORIKEET_CUDA
