// group_norm_backward, with z the normalised x + shift, u = z gamma + beta and du = dy act'(u):
//
//     dx = (gamma du - mean(gamma du) - z mean(gamma du z)) / std      dgamma += sum of du z      dbeta += sum of du
//
// The means are over space and the channels of a group, the sums over samples and space. Three kernels: sums of blocks
// of rows, means of groups, dx. dy and x are read twice and dx is written once.
#pragma once

#include "../bf16.h"
#include "../runtime.h"

namespace LORIKEET_CUDA {

// dy, x, dx [samples, rows, channels] of bf16 or float, channels last; groups divides channels.
template <typename T>
struct GroupNormBackward {
  int samples, rows, channels, groups;
  bool silu;
  const T* dy;
  const T* x;
  const float* gamma;  // [channels]
  const float* beta;   // [channels]
  const T* shift;      // [samples, channels], or null
  const float* stats;  // [samples, groups, 2]: mean, 1 / std of x + shift
  T* dx;               // may be dy; null where not wanted, as the next two
  float* dgamma;       // [channels]
  float* dbeta;        // [channels]
  float* workspace;    // group_norm_backward_workspace elements
};

int64_t group_norm_backward_workspace(int samples, int rows, int channels, int groups, bool wants_sums);

template <typename T>
void launch_group_norm_backward(const GroupNormBackward<T>& problem, Stream stream);  // for T = float and bf16

}  // namespace LORIKEET_CUDA
