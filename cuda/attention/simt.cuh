// What the kernels of attention on the ordinary units share. A block of eight warps owns 32 rows of a head, four a warp,
// and walks over the rows of the other side 32 at a time, a lane for each. Both come in chunks of 64 columns, as f32,
// so that any head size will do.
#pragma once

#include "heads.cuh"
#include "../reduce.cuh"

namespace LORIKEET_CUDA {
namespace simt {

constexpr int kWarps = 8, kThreads = kWarps * 32, kWarpRows = 4;
constexpr int kRows = kWarps * kWarpRows;  // of either side
static_assert(kRows == 32, "a lane for each row of a step");
constexpr int kChunk = 64;          // columns
constexpr int kPitch = kChunk + 4;  // floats from one row to the next: eight rows 16 bytes apart in the banks
constexpr int kTileFloats = kRows * kPitch;
constexpr float kLog2E = 1.44269504f;

using Row = Vector<float, kWarpRows>;  // a number for each of a warp's own rows

__device__ __forceinline__ int warp_of() { return static_cast<int>(threadIdx.x) / 32; }
__device__ __forceinline__ int lane_of() { return static_cast<int>(threadIdx.x) % 32; }

// Rows `first` and on, columns `column` and on; zeros behind the ends. `in_pieces`: four elements at once.
template <typename T>
__device__ __forceinline__ void load_tile(const HeadRows<T>& head, int first, int column, bool in_pieces,
                                          Shared<float> tile) {
  if (in_pieces) {
    LORIKEET_UNROLL for (int i = 0; i < kRows * kChunk / 4 / kThreads; i++) {
      const int at = i * kThreads + static_cast<int>(threadIdx.x), row = at / (kChunk / 4), c = at % (kChunk / 4) * 4;
      Vector<float, 4> values{};
      if (first + row < head.rows && column + c < head.columns) {
        const Vector<T, 4> piece = load_vector<4>(head.data, (first + row) * head.stride + column + c);
        LORIKEET_UNROLL for (int e = 0; e < 4; e++) values[e] = to_float(piece[e]);
      }
      store_vector(tile, row * kPitch + c, values);
    }
  } else {
    LORIKEET_UNROLL_BY(1) for (int i = 0; i < kRows * kChunk / kThreads; i++) {
      const int at = i * kThreads + static_cast<int>(threadIdx.x), row = at / kChunk, c = at % kChunk;
      const bool inside = first + row < head.rows && column + c < head.columns;
      const float value = inside ? to_float(load(head.data, (first + row) * head.stride + column + c)) : 0.0f;
      store(tile, row * kPitch + c, value);
    }
  }
}

// products[r] += the product of the warp's own row r with the lane's row of the step, over the first `columns` columns.
__device__ __forceinline__ void add_row_products(Row& products, Shared<float> own, Shared<float> step, int columns) {
  const int own_row = warp_of() * kWarpRows * kPitch, step_row = lane_of() * kPitch;
  LORIKEET_UNROLL_BY(2) for (int c = 0; c < columns; c += 4) {
    const Vector<float, 4> b = load_vector<4>(step, step_row + c);
    LORIKEET_UNROLL for (int r = 0; r < kWarpRows; r++) {
      const Vector<float, 4> a = load_vector<4>(own, own_row + r * kPitch + c);
      LORIKEET_UNROLL for (int e = 0; e < 4; e++) products[r] = fmaf(a[e], b[e], products[r]);
    }
  }
}

// The weights of a step's rows in a warp's own rows, one place for each warp: written by the lanes that have them, read
// by all.
constexpr int kWeightFloats = kWarps * 32 * kWarpRows;

__device__ __forceinline__ void store_weights(Shared<float> weights, const Row& own) {
  store_vector(weights, (warp_of() * 32 + lane_of()) * kWarpRows, own);
}

// Sums of a warp's own rows over kChunks chunks of columns, of which a lane has columns `lane` and `lane + 32`.
template <int kChunks>
struct RowSums {
  Row at[kChunks][2];

  __device__ __forceinline__ void clear() {
    LORIKEET_UNROLL for (int chunk = 0; chunk < kChunks; chunk++) {
      LORIKEET_UNROLL for (int half = 0; half < 2; half++) at[chunk][half] = Row{};
    }
  }
  __device__ __forceinline__ void multiply(const Row& factors) {
    LORIKEET_UNROLL for (int chunk = 0; chunk < kChunks; chunk++) {
      LORIKEET_UNROLL for (int half = 0; half < 2; half++) {
        LORIKEET_UNROLL for (int r = 0; r < kWarpRows; r++) at[chunk][half][r] *= factors[r];
      }
    }
  }
  // Adds the first `rows` rows of a step, by their weights.
  __device__ __forceinline__ void add_step(int chunk, Shared<float> weights, Shared<float> step, int rows) {
    LORIKEET_UNROLL_BY(2) for (int row = 0; row < rows; row++) {
      const Row weight = load_vector<kWarpRows>(weights, (warp_of() * 32 + row) * kWarpRows);
      LORIKEET_UNROLL for (int half = 0; half < 2; half++) {
        const float value = load(step, row * kPitch + half * 32 + lane_of());
        LORIKEET_UNROLL for (int r = 0; r < kWarpRows; r++) {
          at[chunk][half][r] = fmaf(weight[r], value, at[chunk][half][r]);
        }
      }
    }
  }
  // Writes columns `column` and on of the head's rows `first` and on.
  template <typename T>
  __device__ __forceinline__ void write(Global<T> to, int64_t stride, int first, int rows, int column,
                                        int columns) const {
    LORIKEET_UNROLL for (int chunk = 0; chunk < kChunks; chunk++) {
      LORIKEET_UNROLL for (int half = 0; half < 2; half++) {
        const int own = column + chunk * kChunk + half * 32 + lane_of();
        LORIKEET_UNROLL for (int r = 0; r < kWarpRows; r++) {
          const int row = first + warp_of() * kWarpRows + r;
          if (row < rows && own < columns) store(to, row * stride + own, from_float<T>(at[chunk][half][r]));
        }
      }
    }
  }
};

// Columns of a head that are in use from `column` on, up to a chunk, made up to whole pieces of four.
__device__ __forceinline__ int columns_in_use(int columns, int column) {
  return columns - column < kChunk ? (columns - column + 3) / 4 * 4 : kChunk;
}

// A block's place in the grid: x over tiles of rows, y over heads, z over samples and groups of columns, since a block
// has sums for a limited number of them.
struct Place {
  int first, head, sample, column;

  __device__ __forceinline__ Place(int column_groups, int group_columns)
      : first(static_cast<int>(blockIdx.x) * kRows),
        head(static_cast<int>(blockIdx.y)),
        sample(static_cast<int>(blockIdx.z) / column_groups),
        column(static_cast<int>(blockIdx.z) % column_groups * group_columns) {}
};

}  // namespace simt
}  // namespace LORIKEET_CUDA
