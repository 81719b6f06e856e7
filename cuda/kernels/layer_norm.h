// layer_norm: each row of x is normalised over its columns; y = (x - mean) / std * gamma + beta (Ba et al. 2016,
// arXiv 1607.06450).
#pragma once

#include "../bf16.h"
#include "../runtime.h"

namespace LORIKEET_CUDA {

// x, y [rows, columns] of bf16 or float; gamma, beta [columns], or null for 1 and 0; stats [rows, 2]: mean, 1 / std.
template <typename T>
struct LayerNorm {
  int rows, columns;
  float eps;
  const T* x;
  const float* gamma;
  const float* beta;
  T* y;
  float* stats;
};

template <typename T>
void launch_layer_norm(const LayerNorm<T>& problem, Stream stream);  // for T = float and bf16

}  // namespace LORIKEET_CUDA
