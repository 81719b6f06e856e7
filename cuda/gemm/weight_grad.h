// The gradient by a weight, dw += scale * dy^T x, summed over rows in f32: of an adapter's down (dy [rows, rank], x
// [rows, in]) and up ([rows, out], [rows, rank]) as of a whole layer; and of a convolution, where x is what the moving
// window shows. The rows are shared out among blocks in parts, whose sums a second pass adds in their order: no atomics,
// the same bits every time.
#pragma once

#include "conv2d.h"

namespace LORIKEET_CUDA {

template <typename T>
struct WeightGrad {
  int rows = 0, n = 0, k = 0;
  const T* dy = nullptr;  // [rows, n]
  int64_t dy_stride = 0;
  const T* x = nullptr;  // [rows, k]
  int64_t x_stride = 0;
  float scale = 1.0f;
  float* dw = nullptr;  // [n, k]
  int64_t dw_stride = 0;
  int parts = 1;
  float* sums = nullptr;  // [parts, n, k] to work in; not used with one part
};

template <typename T>
struct Conv2dWeightGrad {
  Convolution shape;
  const T* dy = nullptr;  // [samples, out_height, out_width, outputs]
  const T* x = nullptr;   // [samples, height, width, channels]
  float scale = 1.0f;
  float* dw = nullptr;  // [outputs, kernel_height, kernel_width, channels]
  int parts = 1;
  float* sums = nullptr;  // [parts, ...] to work in; not used with one part
};

// For a gradient [n, k].
TileChoice choose_weight_grad_tile(int n, int k);

// How many parts give a card enough blocks and still have enough rows each. It follows from the problem alone, so that
// gradients have the same bits on every card.
template <typename T>
int choose_parts(int rows, int n, int k, TileChoice tile);

// Any shapes. Operands whose every row starts at a multiple of 16 bytes arrive asynchronously, others slowly, element
// by element. Parts change the rounding of the sums. Throws std::invalid_argument for parts without room for their
// sums.
template <typename T>
void launch_weight_grad(const WeightGrad<T>& problem, TileChoice tile, Stream stream);
template <typename T>
void launch_conv2d_weight_grad(const Conv2dWeightGrad<T>& problem, TileChoice tile, Stream stream);

}  // namespace LORIKEET_CUDA
