// Operand loaders: they bring a tile of a matrix from global to shared memory, swizzled, with zeros for what lies
// outside the matrix.
#pragma once

#include "tile.cuh"

namespace LORIKEET_CUDA {

// A row-major matrix. `stride`: elements from one row to the next.
template <typename T>
struct Matrix {
  Global<const T> data;
  int64_t stride;
  int rows, columns;
  bool aligned;  // every row starts at a multiple of 16 bytes
};

// The tile of kRows x kColumns whose first element is (row, column) of the matrix, which may lie before its start.
// Of an aligned matrix 16 bytes travel at a time, asynchronously: the caller commits and waits; `column` must be a
// multiple of as many elements. Otherwise elements are read one by one.
template <typename T, int kRows, int kColumns, int kThreads>
struct DenseLoader {
  static constexpr int kPerChunk = kPerAccess<T>;
  static constexpr int kChunks = kColumns / kPerChunk;
  static constexpr int kRowsAtOnce = kThreads / kChunks;
  static_assert(kThreads % kChunks == 0 && kRows % kRowsAtOnce == 0, "every thread loads as many chunks");

  static __device__ __forceinline__ void load_tile(const Matrix<T>& matrix, int row, int column, Shared<T> tile) {
    const int chunk = static_cast<int>(threadIdx.x) % kChunks;
    const int c = column + chunk * kPerChunk;
    const int present = matrix.columns - c;  // columns from c on
    LORIKEET_UNROLL for (int i = 0; i < kRows / kRowsAtOnce; i++) {
      const int tile_row = static_cast<int>(threadIdx.x) / kChunks + i * kRowsAtOnce;
      const int r = row + tile_row;
      const bool inside = r >= 0 && r < matrix.rows;
      const Shared<T> to = tile + swizzled<kChunks>(tile_row, chunk) * kPerChunk;
      if (matrix.aligned) {
        const bool any = inside && c >= 0 && present > 0;
        const int bytes = any ? (present < kPerChunk ? present * static_cast<int>(sizeof(T)) : 16) : 0;
        copy_async(to, matrix.data + (any ? r * matrix.stride + c : 0), bytes);
      } else {
        Vector<T, kPerChunk> values;
        LORIKEET_UNROLL for (int j = 0; j < kPerChunk; j++) {
          values[j] = inside && c + j >= 0 && j < present ? load(matrix.data, r * matrix.stride + c + j) : T{};
        }
        store_vector(to, 0, values);
      }
    }
  }
};

}  // namespace LORIKEET_CUDA
