// The gradient by a weight, dw += scale * dy^T x, summed over rows in f32: of an adapter's down (dy [rows, rank], x
// [rows, in]) and up ([rows, out], [rows, rank]) as of a whole layer. The rows are shared out among blocks in parts,
// whose sums a second pass adds in their order: no atomics, the same bits every time.
#pragma once

#include "../launch.cuh"
#include "low_rank.h"

namespace LORIKEET_CUDA {

struct WeightGrad {
  int rows = 0, n = 0, k = 0;
  const bf16* dy = nullptr;  // [rows, n]
  int64_t dy_stride = 0;
  const bf16* x = nullptr;  // [rows, k]
  int64_t x_stride = 0;
  float scale = 1.0f;
  float* dw = nullptr;  // [n, k]
  int64_t dw_stride = 0;
  int parts = 1;
  float* sums = nullptr;  // [parts, n, k] to work in; not used with one part
};

// How many parts keep all multiprocessors busy and still have enough rows each.
int choose_parts(int rows, int n, int k, TileChoice tile, int multiprocessors);

// Any shapes. Where every row of dy and x starts at a multiple of 16 bytes, of dw and sums at one of 8, the
// asynchronous path is taken, otherwise 64 x 64 tiles whatever the choice. Parts change the rounding of the sums.
// Throws std::invalid_argument for parts without room for their sums.
void launch_weight_grad(const WeightGrad& problem, TileChoice tile, Stream stream);

}  // namespace LORIKEET_CUDA
