// What a warp does with a stage of both operands in shared memory: mma in bf16, fused multiplications and additions in
// f32; and where the sums are that it keeps in registers.
#pragma once

#include "choices.h"
#include "tile.cuh"

#if defined(__CUDACC__)
#define LORIKEET_NO_UNROLL _Pragma("unroll 1")
#else
#define LORIKEET_NO_UNROLL
#endif

namespace LORIKEET_CUDA {

// Sums: of one warp's tile, an array in registers.
//   clear(sums), multiply(sums, factor)      a zero stays +0
//   add_stage(stage, warp_m, warp_n, sums)   the product of the stage's tiles
//   add_to_columns(sums, value)              value(column) to every row
//   visit(sums, act)                         act(row, column, values) for every kRun consecutive columns of a row
// Rows and columns are those of the warp's tile.
template <class Operands, typename Element = typename Operands::Tile::Element>
struct WarpProduct;

template <class Operands>
struct WarpProduct<Operands, bf16> {
  using Tile = typename Operands::Tile;
  static constexpr int MI = Tile::kWarpM / 16, NI = Tile::kWarpN / 8;
  static constexpr int kRun = 2;
  using Sums = float[MI][NI][4];
  static_assert(Tile::kWarpM % 16 == 0 && Tile::kWarpN % 16 == 0 && Tile::kBlockK % 16 == 0, "mma tiles fit");

  static __device__ __forceinline__ void clear(Sums& sums) {
    for_each(sums, [](float& sum) { sum = 0.0f; });
  }
  static __device__ __forceinline__ void multiply(Sums& sums, float factor) {
    for_each(sums, [factor](float& sum) { sum = sum * factor + 0.0f; });
  }

  static __device__ __forceinline__ void add_stage(Shared<bf16> stage, int warp_m, int warp_n, Sums& sums) {
    const int lane = static_cast<int>(threadIdx.x) % 32;
    const Shared<bf16> stage_b = stage + Tile::kElementsA;
    LORIKEET_UNROLL for (int kk = 0; kk < Tile::kBlockK / 16; kk++) {
      uint32_t a[MI][4], b[NI][2];
      LORIKEET_UNROLL for (int i = 0; i < MI; i++) {
        if (Operands::kTransposedA) {
          const Position at = address_of_a_transposed(lane);
          load_matrices_transposed(
              a[i], stage + swizzled<Tile::kBlockM / 8>(kk * 16 + at.row, warp_m / 8 + i * 2 + at.column) * 8);
        } else {
          const Position at = address_of_a(lane);
          load_matrices(a[i], stage + swizzled<Tile::kBlockK / 8>(warp_m + i * 16 + at.row, kk * 2 + at.column) * 8);
        }
      }
      LORIKEET_UNROLL for (int j = 0; j < NI; j += 2) {
        uint32_t pair[4];
        if (Operands::kLayout == BLayout::k_contiguous) {
          const Position at = address_of_b_pair(lane);
          load_matrices(pair,
                        stage_b + swizzled<Tile::kBlockK / 8>(warp_n + j * 8 + at.row, kk * 2 + at.column) * 8);
        } else {
          const Position at = address_of_b_pair_transposed(lane);
          load_matrices_transposed(
              pair, stage_b + swizzled<Tile::kBlockN / 8>(kk * 16 + at.row, warp_n / 8 + j + at.column) * 8);
        }
        b[j][0] = pair[0];
        b[j][1] = pair[1];
        b[j + 1][0] = pair[2];
        b[j + 1][1] = pair[3];
      }
      multiply_add<M16N8K16, MI, NI>(sums, a, b);
    }
  }

  template <class Value>
  static __device__ __forceinline__ void add_to_columns(Sums& sums, const Value& value) {
    const int lane = static_cast<int>(threadIdx.x) % 32;
    LORIKEET_UNROLL for (int j = 0; j < NI; j++) {
      LORIKEET_UNROLL for (int half = 0; half < 2; half++) {
        const float added = value(j * 8 + M16N8K16::c(lane, half).column);
        LORIKEET_UNROLL for (int i = 0; i < MI; i++) {
          sums[i][j][half] += added;
          sums[i][j][2 + half] += added;
        }
      }
    }
  }

  template <class Act>
  static __device__ __forceinline__ void visit(const Sums& sums, const Act& act) {
    const int lane = static_cast<int>(threadIdx.x) % 32;
    LORIKEET_UNROLL for (int i = 0; i < MI; i++) {
      LORIKEET_UNROLL for (int reg = 0; reg < 4; reg += 2) {
        const Position at = M16N8K16::c(lane, reg);
        LORIKEET_UNROLL for (int j = 0; j < NI; j++) {
          act(i * 16 + at.row, j * 8 + at.column, Vector<float, 2>{{sums[i][j][reg], sums[i][j][reg + 1]}});
        }
      }
    }
  }

 private:
  template <class Act>
  static __device__ __forceinline__ void for_each(Sums& sums, const Act& act) {
    LORIKEET_UNROLL for (int i = 0; i < MI; i++) {
      LORIKEET_UNROLL for (int j = 0; j < NI; j++) {
        LORIKEET_UNROLL for (int e = 0; e < 4; e++) act(sums[i][j][e]);
      }
    }
  }
};

// Lanes stand in 4 rows of 8. What of an operand lies contiguous, k or not, is read four at a time: where that is k, a
// lane's rows (columns) are those of its place in every 4 (8), otherwise in every 16 (32), four next to each other.
template <class Operands>
struct WarpProduct<Operands, float> {
  using Tile = typename Operands::Tile;
  static constexpr bool kTransposedB = Operands::kLayout == BLayout::n_contiguous;
  static constexpr int kRows = Tile::kWarpM / 4, kColumns = Tile::kWarpN / 8;  // of a lane
  static constexpr int kRun = kTransposedB ? 4 : 1;
  using Sums = float[kRows][kColumns];
  static_assert(kRows % 4 == 0 && kColumns % 4 == 0 && Tile::kBlockK % 4 == 0, "reads of four");

  static __device__ __forceinline__ void clear(Sums& sums) {
    LORIKEET_UNROLL for (int i = 0; i < kRows; i++) {
      LORIKEET_UNROLL for (int j = 0; j < kColumns; j++) sums[i][j] = 0.0f;
    }
  }
  static __device__ __forceinline__ void multiply(Sums& sums, float factor) {
    LORIKEET_UNROLL for (int i = 0; i < kRows; i++) {
      LORIKEET_UNROLL for (int j = 0; j < kColumns; j++) sums[i][j] = sums[i][j] * factor + 0.0f;
    }
  }

  static __device__ __forceinline__ void add_stage(Shared<float> stage, int warp_m, int warp_n, Sums& sums) {
    const Shared<float> stage_b = stage + Tile::kElementsA;
    LORIKEET_NO_UNROLL for (int k = 0; k < Tile::kBlockK; k += 4) {  // unrolled it would take all registers
      float b[4][kColumns];
      if (kTransposedB) {
        LORIKEET_UNROLL for (int j = 0; j < kColumns; j += 4) {
          LORIKEET_UNROLL for (int e = 0; e < 4; e++) {
            const Vector<float, 4> four = read<Tile::kBlockN>(stage_b, k + e, warp_n + column_of(j));
            LORIKEET_UNROLL for (int c = 0; c < 4; c++) b[e][j + c] = four[c];
          }
        }
      } else {
        LORIKEET_UNROLL for (int j = 0; j < kColumns; j++) {
          const Vector<float, 4> four = read<Tile::kBlockK>(stage_b, warp_n + column_of(j), k);
          LORIKEET_UNROLL for (int e = 0; e < 4; e++) b[e][j] = four[e];
        }
      }
      if (Operands::kTransposedA) {
        LORIKEET_UNROLL for (int e = 0; e < 4; e++) {
          LORIKEET_UNROLL for (int i = 0; i < kRows; i += 4) {
            const Vector<float, 4> four = read<Tile::kBlockM>(stage, k + e, warp_m + row_of(i));
            LORIKEET_UNROLL for (int r = 0; r < 4; r++) add_row(sums[i + r], four[r], b[e]);
          }
        }
      } else {
        LORIKEET_UNROLL for (int i = 0; i < kRows; i++) {
          const Vector<float, 4> four = read<Tile::kBlockK>(stage, warp_m + row_of(i), k);
          LORIKEET_UNROLL for (int e = 0; e < 4; e++) add_row(sums[i], four[e], b[e]);
        }
      }
    }
  }

  template <class Value>
  static __device__ __forceinline__ void add_to_columns(Sums& sums, const Value& value) {
    LORIKEET_UNROLL for (int j = 0; j < kColumns; j++) {
      const float added = value(column_of(j));
      LORIKEET_UNROLL for (int i = 0; i < kRows; i++) sums[i][j] += added;
    }
  }

  template <class Act>
  static __device__ __forceinline__ void visit(const Sums& sums, const Act& act) {
    LORIKEET_UNROLL for (int i = 0; i < kRows; i++) {
      LORIKEET_UNROLL for (int j = 0; j < kColumns; j += kRun) {
        Vector<float, kRun> values;
        LORIKEET_UNROLL for (int c = 0; c < kRun; c++) values[c] = sums[i][j + c];
        act(row_of(i), column_of(j), values);
      }
    }
  }

 private:
  static __device__ __forceinline__ int row_of(int i) {
    const int place = static_cast<int>(threadIdx.x) % 32 / 8;
    return Operands::kTransposedA ? i / 4 * 16 + place * 4 + i % 4 : i * 4 + place;
  }
  static __device__ __forceinline__ int column_of(int j) {
    const int place = static_cast<int>(threadIdx.x) % 8;
    return kTransposedB ? j / 4 * 32 + place * 4 + j % 4 : j * 8 + place;
  }

  // Four elements of a tile whose rows have kWidth.
  template <int kWidth>
  static __device__ __forceinline__ Vector<float, 4> read(Shared<float> tile, int row, int column) {
    return load_vector<4>(tile, swizzled<kWidth / 4>(row, column / 4) * 4);
  }

  static __device__ __forceinline__ void add_row(float (&sums)[kColumns], float a, const float (&b)[kColumns]) {
    LORIKEET_UNROLL for (int j = 0; j < kColumns; j++) sums[j] = fmaf(a, b[j], sums[j]);
  }
};

}  // namespace LORIKEET_CUDA
