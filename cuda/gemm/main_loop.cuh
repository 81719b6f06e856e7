// The tensor-core main loop: sums of a block's tile over several products that follow one another in one pipeline,
//
//     sums = sum over segments of scale * a b,       a [M, k], b [k, N]
//
// A frozen weight with adapters is x W^T and one segment h up^T for each adapter: the loop over k simply runs on for
// the ranks. Adapters come first, because then their scale is one multiplication of the sums when the next segment
// starts, in f32, and neither h nor up has to be scaled in bf16.
#pragma once

#include "divider.cuh"
#include "loader.cuh"

namespace LORIKEET_CUDA {

// How b lies in memory. A weight [N, K] serves y = x W^T with k contiguous and dx = dy W with n contiguous (its rows
// are then the reduction), so one copy of it is enough.
enum class BLayout { k_contiguous, n_contiguous };

struct Segment {
  Global<const bf16> a, b;
  int64_t a_stride, b_stride;
  int k;
  int column, columns;  // of the output: b has these only
  float scale;
  Divider channels;  // of the image that a shows through a moving window (im2col.cuh); divisor 0 when a is a matrix
};

constexpr int kMaxSegments = 16;

struct Segments {
  Segment at[kMaxSegments];
  int count;
};

// Walks over the tiles of the reduction: segments that touch columns n to n + kBlockN, each in steps of kBlockK.
template <class Tile>
struct TileCursor {
  int segment, k;

  __device__ __forceinline__ void start(const Segments& segments, int n) {
    segment = -1;
    k = 0;
    enter_next(segments, n);
  }
  __device__ __forceinline__ bool ended(const Segments& segments) const { return segment >= segments.count; }
  // True when that leads into another segment.
  __device__ __forceinline__ bool advance(const Segments& segments, int n) {
    k += Tile::kBlockK;
    if (k < segments.at[segment].k) return false;
    k = 0;
    enter_next(segments, n);
    return true;
  }

 private:
  __device__ __forceinline__ void enter_next(const Segments& segments, int n) {
    do {
      segment++;
    } while (segment < segments.count && (segments.at[segment].column >= n + Tile::kBlockN ||
                                          segments.at[segment].column + segments.at[segment].columns <= n));
  }
};

struct MatrixParameters {};

// Loads the tiles of a and b that are matrices, and says which row of the output row `row` of the product is. Operands
// are made once for a block, whose first row is m.
template <class Tile_, BLayout kLayout_, bool kAligned_>
struct MatrixOperands {
  using Tile = Tile_;
  static constexpr BLayout kLayout = kLayout_;
  static constexpr bool kAligned = kAligned_;
  static constexpr bool kTransposedA = false;  // in memory and in its tiles: [k, M]
  using Parameters = MatrixParameters;

  __device__ __forceinline__ MatrixOperands(const Parameters&, int, int) {}
  __device__ __forceinline__ void load_a(const Segment& s, int rows, int m, int k, Shared<bf16> tile) const {
    const Matrix a{s.a, s.a_stride, rows, s.k};
    DenseLoader<Tile::kBlockM, Tile::kBlockK, Tile::kThreads, kAligned>::load_tile(a, m, k, tile);
  }
  __device__ __forceinline__ void load_b(const Segment& s, int n, int k, Shared<bf16> tile) const {
    if (kLayout == BLayout::k_contiguous) {
      const Matrix b{s.b, s.b_stride, s.columns, s.k};
      DenseLoader<Tile::kBlockN, Tile::kBlockK, Tile::kThreads, kAligned>::load_tile(b, n - s.column, k, tile);
    } else {
      const Matrix b{s.b, s.b_stride, s.k, s.columns};
      DenseLoader<Tile::kBlockK, Tile::kBlockN, Tile::kThreads, kAligned>::load_tile(b, k, n - s.column, tile);
    }
  }
  __device__ __forceinline__ int output_row(int row) const { return row; }
};

template <class Operands>
struct MainLoop {
  using Tile = typename Operands::Tile;
  static constexpr int MI = Tile::kWarpM / 16, NI = Tile::kWarpN / 8;
  using Sums = float[MI][NI][4];

  // The tile at (m, n), whose warps take their parts at (warp_m, warp_n) in it. `tiles`: kStages * kStageElements.
  // Afterwards the block may use `tiles` for something else.
  static __device__ __forceinline__ void run(const Segments& segments, const Operands& operands, int rows, int m, int n,
                                             int warp_m, int warp_n, Shared<bf16> tiles, Sums& sums) {
    LORIKEET_UNROLL for (int i = 0; i < MI; i++) {
      LORIKEET_UNROLL for (int j = 0; j < NI; j++) {
        LORIKEET_UNROLL for (int e = 0; e < 4; e++) sums[i][j][e] = 0.0f;
      }
    }
    TileCursor<Tile> loading, computing;
    loading.start(segments, n);
    computing.start(segments, n);
    int load_stage = 0, compute_stage = 0;
    const auto load_next = [&] {
      if (!loading.ended(segments)) {
        const Shared<bf16> stage = tiles + load_stage * Tile::kStageElements;
        const Segment& segment = segments.at[loading.segment];
        operands.load_a(segment, rows, m, loading.k, stage);
        operands.load_b(segment, n, loading.k, stage + Tile::kElementsA);
        loading.advance(segments, n);
      }
      load_stage = load_stage + 1 == Tile::kStages ? 0 : load_stage + 1;
      commit_async();
    };

    // In step t tile t is computed while tiles t + 1 to t + kStages - 1 are on their way. One barrier a step: it tells
    // that tile t has arrived for all threads, and that all are done with tile t - 1, whose place the next one takes.
    LORIKEET_UNROLL for (int i = 0; i < Tile::kStages - 1; i++) load_next();
    float scale = computing.ended(segments) ? 1.0f : segments.at[computing.segment].scale;
    while (!computing.ended(segments)) {
      wait_async<Tile::kStages - 2>();
      sync_block();
      load_next();
      add_tile(tiles + compute_stage * Tile::kStageElements, warp_m, warp_n, sums);
      compute_stage = compute_stage + 1 == Tile::kStages ? 0 : compute_stage + 1;
      if (computing.advance(segments, n)) {
        const float next = computing.ended(segments) ? 1.0f : segments.at[computing.segment].scale;
        if (next != scale) multiply(sums, scale / next);
        scale = next;
      }
    }
    wait_async<0>();
    sync_block();
  }

 private:
  static __device__ __forceinline__ void add_tile(Shared<bf16> stage, int warp_m, int warp_n, Sums& sums) {
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

  static __device__ __forceinline__ void multiply(Sums& sums, float factor) {
    LORIKEET_UNROLL for (int i = 0; i < MI; i++) {
      LORIKEET_UNROLL for (int j = 0; j < NI; j++) {
        LORIKEET_UNROLL for (int e = 0; e < 4; e++) sums[i][j][e] *= factor;
      }
    }
  }
};

}  // namespace LORIKEET_CUDA
