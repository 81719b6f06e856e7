#include "weight_grad.h"

#include <algorithm>
#include <stdexcept>

#include "kernel.cuh"

namespace LORIKEET_CUDA {
namespace {

struct PartParameters {
  int all_rows;
  int part_rows;  // a multiple of every tile's kBlockK, so that no tile reaches into the next part
};

// dy^T and x, whose rows are the reduction; the part is blockIdx.y.
template <class Tile_, bool kAligned_>
class RowOperands {
 public:
  using Tile = Tile_;
  static constexpr BLayout kLayout = BLayout::n_contiguous;
  static constexpr bool kAligned = kAligned_;
  static constexpr bool kTransposedA = true;
  using Parameters = PartParameters;

  __device__ __forceinline__ RowOperands(const Parameters& p)
      : rows_(p.all_rows), first_(static_cast<int>(blockIdx.y) * p.part_rows) {}
  __device__ __forceinline__ void load_a(const Segment& s, int n, int m, int k, Shared<bf16> tile) const {
    const Matrix dy{s.a, s.a_stride, rows_, n};
    DenseLoader<Tile::kBlockK, Tile::kBlockM, Tile::kThreads, kAligned>::load_tile(dy, first_ + k, m, tile);
  }
  __device__ __forceinline__ void load_b(const Segment& s, int n, int k, Shared<bf16> tile) const {
    const Matrix x{s.b, s.b_stride, rows_, s.columns};
    DenseLoader<Tile::kBlockK, Tile::kBlockN, Tile::kThreads, kAligned>::load_tile(x, first_ + k, n, tile);
  }

 private:
  int rows_, first_;
};

// A matrix in f32, or one for each part. With `add` results are added to what is there, times scale.
struct GradOutput {
  Global<float> data;
  int64_t stride, part_stride;
  int rows, columns;
  bool add;
  float scale;
};

// Straight from the fragments: the two columns that a lane holds of a row, with those of its three neighbours, are the
// 32 bytes of a sector.
template <class Operands>
__device__ __forceinline__ void write_sums(const GradOutput& y, typename MainLoop<Operands>::Sums& sums, int row,
                                           int column) {
  const int lane = static_cast<int>(threadIdx.x) % 32;
  const Global<float> data = y.data + static_cast<int64_t>(blockIdx.y) * y.part_stride;
  LORIKEET_UNROLL for (int i = 0; i < MainLoop<Operands>::MI; i++) {
    LORIKEET_UNROLL for (int reg = 0; reg < 4; reg += 2) {
      const int r = row + i * 16 + M16N8K16::c(lane, reg).row;
      if (r >= y.rows) continue;
      LORIKEET_UNROLL for (int j = 0; j < MainLoop<Operands>::NI; j++) {
        const int c = column + j * 8 + M16N8K16::c(lane, reg).column;
        const int64_t at = r * y.stride + c;
        const float first = sums[i][j][reg], second = sums[i][j][reg + 1];
        if (Operands::kAligned) {
          if (c >= y.columns) continue;
          Vector<float, 2> pair{{first, second}};
          if (y.add) {
            const Vector<float, 2> before = load_vector<2>(y.data, at);
            pair = {{before[0] + y.scale * first, before[1] + y.scale * second}};
          }
          store_vector(data, at, pair);
        } else {
          if (c < y.columns) store(data, at, y.add ? load(y.data, at) + y.scale * first : first);
          if (c + 1 < y.columns) store(data, at + 1, y.add ? load(y.data, at + 1) + y.scale * second : second);
        }
      }
    }
  }
}

template <class Operands>
__global__ void __launch_bounds__(Operands::Tile::kThreads) weight_grad_kernel(Segments segments, GradOutput y,
                                                                               PartParameters parameters) {
  using Tile = typename Operands::Tile;
  const Place<Tile> at(y.rows, y.columns);
  const Shared<bf16> tiles = dynamic_shared<bf16>("tiles", 0, Tile::kStages * Tile::kStageElements);
  typename MainLoop<Operands>::Sums sums;
  MainLoop<Operands>::run(segments, Operands(parameters), y.rows, at.m, at.n, at.warp_m, at.warp_n, tiles, sums);
  write_sums<Operands>(y, sums, at.m + at.warp_m, at.n + at.warp_n);
}

constexpr int kAddThreads = 256;

// A thread for each element of dw.
__global__ void __launch_bounds__(kAddThreads) weight_grad_add_kernel(GradOutput dw, Global<const float> sums,
                                                                      int parts) {
  const int64_t count = static_cast<int64_t>(dw.rows) * dw.columns;
  const int64_t i = static_cast<int64_t>(blockIdx.x) * kAddThreads + threadIdx.x;
  if (i >= count) return;
  float sum = 0.0f;
  for (int part = 0; part < parts; part++) sum += load(sums, part * count + i);
  const int64_t row = i / dw.columns, at = row * dw.stride + (i - row * dw.columns);
  store(dw.data, at, load(dw.data, at) + dw.scale * sum);
}

constexpr int kRowsOfTile = Tile64x64::kBlockK;
static_assert(Tile128x128::kBlockK == kRowsOfTile && Tile128x64::kBlockK == kRowsOfTile, "parts of whole tiles");

bool all_aligned(const WeightGrad& p) {
  const auto in_pairs = [](const float* pointer, int64_t stride) {
    return reinterpret_cast<uintptr_t>(pointer) % 8 == 0 && stride % 2 == 0;
  };
  return aligned(p.dy, p.dy_stride) && aligned(p.x, p.x_stride) && in_pairs(p.dw, p.dw_stride) &&
         in_pairs(p.sums, p.k);
}

template <class Operands>
void start(const Segments& segments, const GradOutput& y, const PartParameters& parameters, int parts, Stream stream) {
  LaunchShape shape = shape_for<typename Operands::Tile>(y.rows, y.columns);
  shape.grid.y = parts;
  launch("weight_grad", &weight_grad_kernel<Operands>, shape, stream, segments, y, parameters);
}

}  // namespace

int choose_parts(int rows, int n, int k, TileChoice tile, int multiprocessors) {
  constexpr int kLeastRows = 256;  // below, filling the pipeline and adding up cost more than idle multiprocessors
  const int block_n = tile == TileChoice::t64x64 ? 64 : 128, block_k = tile == TileChoice::t128x128 ? 128 : 64;
  const int64_t blocks = static_cast<int64_t>(blocks_for(n, block_n)) * blocks_for(k, block_k);
  const int64_t wanted = blocks == 0 ? 1 : 2 * multiprocessors / blocks;  // two blocks fit one multiprocessor
  return static_cast<int>(std::max<int64_t>(1, std::min<int64_t>(wanted, rows / kLeastRows)));
}

void launch_weight_grad(const WeightGrad& p, TileChoice tile, Stream stream) {
  if (p.rows == 0 || p.n == 0 || p.k == 0 || p.scale == 0.0f) return;
  if (p.parts < 1 || (p.parts > 1 && !p.sums)) {
    throw std::invalid_argument("weight_grad: parts need room for their sums");
  }
  const int part_rows = static_cast<int>(blocks_for(blocks_for(p.rows, p.parts), kRowsOfTile)) * kRowsOfTile;
  const int parts = static_cast<int>(blocks_for(p.rows, part_rows));  // none without rows
  Segments segments{};
  segments.at[segments.count++] = {p.dy, p.x, p.dy_stride, p.x_stride, part_rows, 0, p.k, 1.0f, Divider{}};
  const GradOutput dw{p.dw, p.dw_stride, 0, p.n, p.k, true, p.scale};
  const int64_t count = static_cast<int64_t>(p.n) * p.k;
  const GradOutput sums{p.sums, p.k, count, p.n, p.k, false, 1.0f};
  const GradOutput& y = parts == 1 ? dw : sums;
  const PartParameters parameters{p.rows, part_rows};
  if (!all_aligned(p)) {
    start<RowOperands<Tile64x64, false>>(segments, y, parameters, parts, stream);
  } else {
    switch (tile) {
      case TileChoice::t128x128:
        start<RowOperands<Tile128x128, true>>(segments, y, parameters, parts, stream);
        break;
      case TileChoice::t128x64: start<RowOperands<Tile128x64, true>>(segments, y, parameters, parts, stream); break;
      case TileChoice::t64x64: start<RowOperands<Tile64x64, true>>(segments, y, parameters, parts, stream); break;
    }
  }
  if (parts == 1) return;
  LaunchShape shape;
  shape.grid = dim3(blocks_for(count, kAddThreads));
  shape.block = dim3(kAddThreads);
  launch("weight_grad_add", &weight_grad_add_kernel, shape, stream, dw, p.sums, parts);
}

}  // namespace LORIKEET_CUDA
