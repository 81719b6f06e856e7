// The kernels behind gradients by weights: the product of two operands whose rows are the reduction, in parts of the
// rows, and the sum of the parts.
#pragma once

#include <stdexcept>

#include "kernel.cuh"

namespace LORIKEET_CUDA {

// Rows of one part: a multiple of every tile's kBlockK, so that no tile reaches into the next part.
constexpr int kPartRows = 64;

// In bf16 the thinnest tile, for the gradients of ups, is taller than that of products, since each block of rows of it
// reads all of h, of whose rows, shared by q, k and v, the columns of one up may be half a sector.
template <typename T>
struct GradTiles : Tiles<T> {};
template <>
struct GradTiles<bf16> : Tiles<bf16> {
  using T32x16 = TileShape<bf16, 128, 16, 32, 64, 16, 4>;
};

// dy^T, whose rows are the reduction; the part is blockIdx.y.
template <class Tile_>
class PartOperands {
 public:
  using Tile = Tile_;
  using T = typename Tile::Element;
  static constexpr BLayout kLayout = BLayout::n_contiguous;
  static constexpr bool kTransposedA = true;
  static_assert(kPartRows % Tile::kBlockK == 0, "parts of whole tiles");

  __device__ __forceinline__ PartOperands(int all_rows, int part_rows)
      : rows_(all_rows), first_(static_cast<int>(blockIdx.y) * part_rows) {}
  __device__ __forceinline__ void load_a(const Segment<T>& s, int n, int m, int k, Shared<T> tile) const {
    const Matrix<T> dy{s.a, s.a_stride, rows_, n, s.aligned};
    DenseLoader<T, Tile::kBlockK, Tile::kBlockM, Tile::kThreads>::load_tile(dy, first_ + k, m, tile);
  }

 protected:
  int rows_, first_;
};

// With `add` results are added to what is there, times scale.
struct GradOutput {
  Global<float> data;
  int64_t stride, part_stride;
  int rows, columns;
  bool add;
  float scale;
  bool aligned;  // to runs of columns that a lane writes at once
};

// Straight from registers: the two columns that a lane holds of a row in bf16, with those of its three neighbours, are
// the 32 bytes of a sector; in f32 a lane holds four.
template <class Operands>
__device__ __forceinline__ void write_gradient(const GradOutput& y, const typename MainLoop<Operands>::Sums& sums,
                                               int row, int column) {
  using Product = WarpProduct<Operands>;
  using Run = Vector<float, Product::kRun>;
  const Global<float> data = y.data + static_cast<int64_t>(blockIdx.y) * y.part_stride;
  Product::visit(sums, [&](int tile_row, int tile_column, const Run& values) {
    const int r = row + tile_row, c = column + tile_column;
    if (r >= y.rows) return;
    const int64_t at = r * y.stride + c;
    if (y.aligned) {
      if (c >= y.columns) return;
      Run result = values;
      if (y.add) {
        const Run before = load_vector<Product::kRun>(y.data, at);
        LORIKEET_UNROLL for (int e = 0; e < Product::kRun; e++) result[e] = before[e] + y.scale * values[e];
      }
      store_vector(data, at, result);
    } else {
      LORIKEET_UNROLL for (int e = 0; e < Product::kRun; e++) {
        if (c + e >= y.columns) continue;
        store(data, at + e, y.add ? load(y.data, at + e) + y.scale * values[e] : values[e]);
      }
    }
  });
}

template <class Operands>
__global__ void __launch_bounds__(Operands::Tile::kThreads, kLeastBlocks)
    weight_grad_kernel(Segments<typename Operands::Tile::Element> segments, GradOutput y,
                       typename Operands::Parameters parameters) {
  using Tile = typename Operands::Tile;
  using T = typename Tile::Element;
  const Place<Tile> at(y.rows, y.columns);
  const Shared<T> tiles = dynamic_shared<T>("tiles", 0, Tile::kStages * Tile::kStageElements);
  typename MainLoop<Operands>::Sums sums;
  MainLoop<Operands>::run(segments, Operands(parameters, at.n), y.rows, at.m, at.n, at.warp_m, at.warp_n, tiles, sums);
  write_gradient<Operands>(y, sums, at.m + at.warp_m, at.n + at.warp_n);
}

// A thread for each element of dw.
template <int kThreads>
__global__ void __launch_bounds__(kThreads) weight_grad_add_kernel(GradOutput dw, Global<const float> sums, int parts) {
  const int64_t count = static_cast<int64_t>(dw.rows) * dw.columns;
  const int64_t i = static_cast<int64_t>(blockIdx.x) * kThreads + threadIdx.x;
  if (i >= count) return;
  float sum = 0.0f;
  for (int part = 0; part < parts; part++) sum += load(sums, part * count + i);
  const int64_t row = i / dw.columns, at = row * dw.stride + (i - row * dw.columns);
  store(dw.data, at, load(dw.data, at) + dw.scale * sum);
}

// A gradient [n, k] to be summed in parts.
struct PartedGrad {
  int rows, n, k;
  float scale;
  float* dw;
  int64_t dw_stride;
  int parts;
  float* sums;

  bool empty() const { return rows == 0 || n == 0 || k == 0 || scale == 0.0f; }
  int part_rows() const { return static_cast<int>(blocks_for(blocks_for(rows, parts), kPartRows)) * kPartRows; }
};

// `segment`: dy and x; `Operands<Tile>` made of `parameters`.
template <template <class> class Operands, typename T, class Parameters>
void start_weight_grad(const PartedGrad& p, const Segment<T>& segment, const Parameters& parameters, TileChoice choice,
                       Stream stream) {
  const int parts = static_cast<int>(blocks_for(p.rows, p.part_rows()));  // none without rows
  if (parts > 1 && !p.sums) throw std::invalid_argument("weight_grad: parts need room for their sums");
  const int64_t count = static_cast<int64_t>(p.n) * p.k;
  const GradOutput dw{p.dw, p.dw_stride, 0, p.n, p.k, true, p.scale, false};
  const GradOutput sums{parts > 1 ? p.sums : nullptr, p.k, count, p.n, p.k, false, 1.0f, false};
  Segments<T> segments{};
  segments.at[segments.count++] = segment;
  with_tile<GradTiles<T>>(choice, [&](auto tile) {
    using Chosen = Operands<decltype(tile)>;
    constexpr int kRun = WarpProduct<Chosen>::kRun;
    GradOutput y = parts == 1 ? dw : sums;
    const bool starts = reinterpret_cast<uintptr_t>(y.data.pointer) % (4 * kRun) == 0 && y.stride % kRun == 0;
    y.aligned = starts && p.k % kRun == 0;
    LaunchShape shape = shape_for<decltype(tile)>(p.n, p.k);
    shape.grid.y = parts;
    launch("weight_grad", &weight_grad_kernel<Chosen>, shape, stream, segments, y, parameters);
  });
  if (parts == 1) return;
  constexpr int kThreads = 256;
  LaunchShape shape;
  shape.grid = dim3(blocks_for(count, kThreads));
  shape.block = dim3(kThreads);
  launch("weight_grad_add", &weight_grad_add_kernel<kThreads>, shape, stream, dw, p.sums, parts);
}

}  // namespace LORIKEET_CUDA
