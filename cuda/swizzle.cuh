// Where tiles lie in shared memory, so that no two lanes of a request want different words of one bank.
#pragma once

#include "memory.cuh"

namespace LORIKEET_CUDA {

// Where chunk `chunk` (16 bytes) of row `row` lies in a tile whose rows have kChunks of them, with nothing between the
// rows. Chunks trade places within groups of two, four or eight, as many as divide the row. Then these requests take
// all banks once: ldmatrix of eight rows from a multiple of eight on, words of a fragment in eight such rows, and
// consecutive chunks in the order of rows.
template <int kChunks>
__host__ __device__ constexpr int swizzled(int row, int chunk) {
  static_assert(kChunks % 2 == 0, "rows of a multiple of 32 bytes");
  constexpr int kGroup = kChunks % 8 == 0 ? 8 : kChunks % 4 == 0 ? 4 : 2;
  constexpr int kRows = 8 / kGroup;  // after so many rows chunks come to lie on the same banks again
  return row * kChunks + (chunk ^ (row / kRows % kGroup));
}

}  // namespace LORIKEET_CUDA
