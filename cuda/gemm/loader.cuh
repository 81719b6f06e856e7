// Operand loaders: they bring a tile of a matrix from global to shared memory, swizzled, with zeros for what lies
// outside the matrix.
#pragma once

#include "../numeric.cuh"
#include "tile.cuh"

namespace LORIKEET_CUDA {

// A row-major matrix in bf16. `stride`: elements from one row to the next.
struct Matrix {
  Global<const bf16> data;
  int64_t stride;
  int rows, columns;
};

// The tile of kRows x kColumns whose first element is (row, column) of the matrix, which may lie before its start.
// kAligned: the matrix starts at a multiple of 16 bytes, and `stride` and `column` are multiples of 8 elements; then 16
// bytes travel at a time, asynchronously: the caller commits and waits. Otherwise elements are read one by one.
template <int kRows, int kColumns, int kThreads, bool kAligned>
struct DenseLoader {
  static constexpr int kChunks = kColumns / 8;
  static constexpr int kRowsAtOnce = kThreads / kChunks;
  static_assert(kThreads % kChunks == 0 && kRows % kRowsAtOnce == 0, "every thread loads as many chunks");

  static __device__ __forceinline__ void load_tile(const Matrix& matrix, int row, int column, Shared<bf16> tile) {
    const int chunk = static_cast<int>(threadIdx.x) % kChunks;
    const int c = column + chunk * 8;
    const int present = matrix.columns - c;  // columns from c on
    LORIKEET_UNROLL for (int i = 0; i < kRows / kRowsAtOnce; i++) {
      const int tile_row = static_cast<int>(threadIdx.x) / kChunks + i * kRowsAtOnce;
      const int r = row + tile_row;
      const bool inside = r >= 0 && r < matrix.rows;
      const Shared<bf16> to = tile + swizzled<kChunks>(tile_row, chunk) * 8;
      if (kAligned) {
        const bool any = inside && c >= 0 && present > 0;
        const int bytes = any ? (present < 8 ? present * 2 : 16) : 0;
        copy_async(to, matrix.data + (any ? r * matrix.stride + c : 0), bytes);
      } else {
        Vector<bf16, 8> values;
        LORIKEET_UNROLL for (int j = 0; j < 8; j++) {
          values[j] = inside && c + j >= 0 && j < present ? load(matrix.data, r * matrix.stride + c + j) : bf16{0};
        }
        store_vector(to, 0, values);
      }
    }
  }
};

}  // namespace LORIKEET_CUDA
