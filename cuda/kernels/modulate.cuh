// How modulate, gate and their gradients share out a tensor [samples, rows, columns]: a block has 32 * kWidth columns
// of some rows of one sample. A thread keeps to its columns, and so has the sample's vectors in registers; warps take
// turns at the rows.
#pragma once

#include "../launch.cuh"
#include "../threads.cuh"

namespace LORIKEET_CUDA {
namespace {

constexpr int kPartWarps = 4, kPartThreads = 32 * kPartWarps;
constexpr int kAhead = 4;  // rows of a warp that are on their way at once

struct Extent {
  int64_t rows;  // of a sample
  int columns;
  unsigned parts;  // of the rows of a sample
};

template <int kWidth, int kPartRows>
struct Part {
  __device__ __forceinline__ explicit Part(const Extent& extent) {
    const unsigned sample = blockIdx.x / extent.parts;
    const int64_t first = static_cast<int64_t>(blockIdx.x - sample * extent.parts) * kPartRows;
    const int64_t left = extent.rows - first;
    columns = extent.columns;
    column = (static_cast<int>(blockIdx.y) * 32 + static_cast<int>(threadIdx.x) % 32) * kWidth;
    inside = column < columns;
    rows = static_cast<int>(left < kPartRows ? left : kPartRows);
    vector = static_cast<int64_t>(sample) * columns + column;
    start = (sample * extent.rows + first) * columns + column;
  }
  // The element of this thread in a row of the part.
  __device__ __forceinline__ int64_t at(int row) const { return start + static_cast<int64_t>(row) * columns; }

  int columns, column, rows;
  bool inside;
  int64_t vector, start;  // its element in a vector of the sample, and in the first row of the part
};

template <int kWidth, int kPartRows>
LaunchShape part_shape(int64_t samples, const Extent& extent) {
  LaunchShape shape;
  shape.grid = dim3(static_cast<unsigned>(samples) * extent.parts, blocks_for(extent.columns, 32 * kWidth));
  shape.block = dim3(kPartThreads);
  return shape;
}

}  // namespace
}  // namespace LORIKEET_CUDA
