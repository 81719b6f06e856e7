// The main loop of every product: sums of a block's tile over several products that follow one another in one pipeline,
//
//     sums = sum over segments of scale * a b,       a [M, k], b [k, N]
//
// A frozen weight with adapters is x W^T and one segment h up^T for each adapter: the loop over k simply runs on for
// the ranks. Adapters come first, because then their scale is one multiplication of the sums when the next segment
// starts, in f32, and neither h nor up has to be scaled in bf16.
#pragma once

#include "../divider.cuh"
#include "loader.cuh"
#include "products.cuh"

namespace LORIKEET_CUDA {

template <typename T>
struct Segment {
  Global<const T> a, b;
  int64_t a_stride, b_stride;
  int k;
  int column, columns;  // of the output: b has these only
  float scale;
  Divider channels;  // of the image that a shows through a moving window (im2col.cuh); divisor 0 when a is a matrix
  bool aligned;      // every row of a and b, and every piece that a tile starts with, lies at a multiple of 16 bytes
};

template <typename T>
struct Segments {
  Segment<T> at[kMaxSegments];
  int count;
};

// Walks over the tiles of the reduction: segments that touch columns n to n + kBlockN, each in steps of kBlockK.
template <class Tile>
struct TileCursor {
  using Segments = LORIKEET_CUDA::Segments<typename Tile::Element>;
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
// are made once for a block, whose tile starts at row m and column n of `rows` rows.
template <class Tile_, BLayout kLayout_>
struct MatrixOperands {
  using Tile = Tile_;
  using T = typename Tile::Element;
  static constexpr BLayout kLayout = kLayout_;
  static constexpr bool kTransposedA = false;  // in memory and in its tiles: [k, M]
  using Parameters = MatrixParameters;

  __device__ __forceinline__ MatrixOperands(const Parameters&, int, int, int) {}
  __device__ __forceinline__ void load_a(const Segment<T>& s, int rows, int m, int k, Shared<T> tile) const {
    const Matrix<T> a{s.a, s.a_stride, rows, s.k, s.aligned};
    DenseLoader<T, Tile::kBlockM, Tile::kBlockK, Tile::kThreads>::load_tile(a, m, k, tile);
  }
  __device__ __forceinline__ void load_b(const Segment<T>& s, int n, int k, Shared<T> tile) const {
    if (kLayout == BLayout::k_contiguous) {
      const Matrix<T> b{s.b, s.b_stride, s.columns, s.k, s.aligned};
      DenseLoader<T, Tile::kBlockN, Tile::kBlockK, Tile::kThreads>::load_tile(b, n - s.column, k, tile);
    } else {
      const Matrix<T> b{s.b, s.b_stride, s.k, s.columns, s.aligned};
      DenseLoader<T, Tile::kBlockK, Tile::kBlockN, Tile::kThreads>::load_tile(b, k, n - s.column, tile);
    }
  }
  __device__ __forceinline__ int output_row(int row) const { return row; }
};

// Whether tiles of b are not yet what is multiplied when they have arrived. Then operands have a function `open`, called
// between a thread's own wait and the barrier, with the segment, the tile's k and the tile.
template <class Operands>
constexpr bool kOpensTiles = false;

template <class Operands>
struct MainLoop {
  using Tile = typename Operands::Tile;
  using T = typename Tile::Element;
  using Product = WarpProduct<Operands>;
  using Sums = typename Product::Sums;

  // The tile at (m, n), whose warps take their parts at (warp_m, warp_n) in it. `tiles`: kStages * kStageElements.
  // Afterwards the block may use `tiles` for something else.
  static __device__ __forceinline__ void run(const Segments<T>& segments, const Operands& operands, int rows, int m,
                                             int n, int warp_m, int warp_n, Shared<T> tiles, Sums& sums) {
    Product::clear(sums);
    TileCursor<Tile> loading, computing;
    loading.start(segments, n);
    computing.start(segments, n);
    int load_stage = 0, compute_stage = 0;
    const auto load_next = [&] {
      if (!loading.ended(segments)) {
        const Shared<T> stage = tiles + load_stage * Tile::kStageElements;
        const Segment<T>& segment = segments.at[loading.segment];
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
    while (!computing.ended(segments)) {
      wait_async<Tile::kStages - 2>();
      if constexpr (kOpensTiles<Operands>) {
        const Shared<T> stage = tiles + compute_stage * Tile::kStageElements;
        operands.open(segments.at[computing.segment], computing.k, stage + Tile::kElementsA);
      }
      sync_block();
      load_next();
      Product::add_stage(tiles + compute_stage * Tile::kStageElements, warp_m, warp_n, sums);
      compute_stage = compute_stage + 1 == Tile::kStages ? 0 : compute_stage + 1;
      const int segment = computing.segment;
      if (computing.advance(segments, n)) enter(segments, segment, computing.segment, sums);
    }
    wait_async<0>();
    sync_block();
  }

 private:
  // Brings the sums from the scale of one segment to that of another, by way of those between them, which this tile skips
  // and a wider one does not: each column has the same roundings whatever the tile.
  static __device__ __forceinline__ void enter(const Segments<T>& segments, int from, int to, Sums& sums) {
    for (int i = from; i < to; i++) {
      const float scale = segments.at[i].scale, next = i + 1 < segments.count ? segments.at[i + 1].scale : 1.0f;
      if (next != scale) Product::multiply(sums, scale / next);
    }
  }
};

}  // namespace LORIKEET_CUDA
