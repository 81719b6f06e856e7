// y = x w (+ bias) + sum over adapters of scale * h up, the matrix product behind linear layers and their input
// gradients (Hu et al. 2021, arXiv 2106.09685, for the low-rank part). bf16 or f32 in and out, sums in f32, one
// rounding.
#pragma once

#include <vector>

#include "../runtime.h"
#include "low_rank.h"

namespace LORIKEET_CUDA {

template <typename T>
struct Matmul {
  int m = 0, n = 0, k = 0;
  const T* x = nullptr;  // [m, k]
  int64_t x_stride = 0;
  const T* w = nullptr;  // [n, k], or [k, n] with n contiguous
  int64_t w_stride = 0;
  BLayout layout = BLayout::k_contiguous;  // of w and of every up
  const float* bias = nullptr;             // [n]
  T* y = nullptr;                          // [m, n]
  int64_t y_stride = 0;
  std::vector<LowRankUp<T>> ups;
};

// Any shapes and strides. A matrix, each adapter's and the layer's own, whose every row starts at a multiple of 16
// bytes arrives asynchronously, any other slowly, element by element. Throws std::invalid_argument for more than
// kMaxSegments - 1 ups.
template <typename T>
void launch_matmul(const Matmul<T>& problem, TileChoice tile, Stream stream);

}  // namespace LORIKEET_CUDA
