#include "matmul.h"

#include <stdexcept>

#include "epilogue.cuh"

namespace LORIKEET_CUDA {
namespace {

// Blocks take the tiles of the output in groups of this many rows of tiles, column by column, so that those running at
// once read few different rows and columns: 3 MB of L2 on the smallest card.
constexpr int kGroupM = 8;

template <class Tile, BLayout kLayout, bool kAligned>
__global__ void __launch_bounds__(Tile::kThreads) matmul_kernel(Segments segments, Output y) {
  const int tiles_m = (y.rows + Tile::kBlockM - 1) / Tile::kBlockM;
  const int tiles_n = (y.columns + Tile::kBlockN - 1) / Tile::kBlockN;
  const int id = static_cast<int>(blockIdx.x);
  const int group = id / (kGroupM * tiles_n), in_group = id % (kGroupM * tiles_n);
  const int left = tiles_m - group * kGroupM, height = left < kGroupM ? left : kGroupM;
  const int m = (group * kGroupM + in_group % height) * Tile::kBlockM, n = in_group / height * Tile::kBlockN;
  const int warp = static_cast<int>(threadIdx.x) / 32;
  const int warp_m = warp % Tile::kWarpsM * Tile::kWarpM, warp_n = warp / Tile::kWarpsM * Tile::kWarpN;

  const Shared<bf16> tiles = dynamic_shared<bf16>("tiles", 0, Tile::kStages * Tile::kStageElements);
  using Loop = MainLoop<Tile, kLayout, kAligned>;
  typename Loop::Sums sums;
  Loop::run(segments, y.rows, m, n, warp_m, warp_n, tiles, sums);
  write_tile<Tile, kAligned>(y, sums, m + warp_m, n + warp_n, tiles + warp * Tile::kWarpM * Tile::kWarpN);
}

bool aligned(const void* pointer, int64_t stride) {
  return reinterpret_cast<uintptr_t>(pointer) % 16 == 0 && stride % 8 == 0;
}

bool all_aligned(const Matmul& p) {
  bool all = aligned(p.x, p.x_stride) && aligned(p.w, p.w_stride) && aligned(p.y, p.y_stride) && p.n % 8 == 0;
  for (const LowRankUp& u : p.ups) {
    all &= aligned(u.h, u.h_stride) && aligned(u.up, u.up_stride) && u.column % 8 == 0;
  }
  return all;
}

template <class Tile, BLayout kLayout, bool kAligned>
void start(const Segments& segments, const Output& y, Stream stream) {
  LaunchShape shape;
  shape.grid = dim3(blocks_for(y.rows, Tile::kBlockM) * blocks_for(y.columns, Tile::kBlockN));
  shape.block = dim3(Tile::kThreads);
  shape.shared_bytes = Tile::kSharedBytes;
  launch("matmul", &matmul_kernel<Tile, kLayout, kAligned>, shape, stream, segments, y);
}

template <BLayout kLayout>
void start_with(const Segments& segments, const Output& y, bool aligned, TileChoice tile, Stream stream) {
  if (!aligned) return start<Tile64x64, kLayout, false>(segments, y, stream);
  switch (tile) {
    case TileChoice::t128x128: return start<Tile128x128, kLayout, true>(segments, y, stream);
    case TileChoice::t128x64: return start<Tile128x64, kLayout, true>(segments, y, stream);
    case TileChoice::t64x64: return start<Tile64x64, kLayout, true>(segments, y, stream);
  }
}

}  // namespace

TileChoice choose_tile(int64_t m, int64_t n, int multiprocessors) {
  // Time of one block, with the share of the tensor rate that its warps' tiles can reach.
  struct Option {
    TileChoice choice;
    int m, n;
    double rate;
  };
  constexpr Option options[] = {
      {TileChoice::t128x128, 128, 128, 1.0}, {TileChoice::t128x64, 128, 64, 0.9}, {TileChoice::t64x64, 64, 64, 0.8}};
  TileChoice best = TileChoice::t128x128;
  double least = 0;
  for (const Option& option : options) {
    const int64_t blocks = static_cast<int64_t>(blocks_for(m, option.m)) * blocks_for(n, option.n);
    const double time = static_cast<double>(blocks_for(blocks, multiprocessors)) * option.m * option.n / option.rate;
    if (least == 0 || time < least) {
      least = time;
      best = option.choice;
    }
  }
  return best;
}

void launch_matmul(const Matmul& p, TileChoice tile, Stream stream) {
  if (p.m == 0 || p.n == 0) return;
  Segments segments{};
  for (const LowRankUp& u : p.ups) {
    if (u.rank == 0 || u.columns == 0 || u.scale == 0.0f) continue;
    if (segments.count + 1 >= kMaxSegments) throw std::invalid_argument("matmul: too many adapters on one layer");
    segments.at[segments.count++] = {u.h, u.up, u.h_stride, u.up_stride, u.rank, u.column, u.columns, u.scale};
  }
  if (p.k > 0) segments.at[segments.count++] = {p.x, p.w, p.x_stride, p.w_stride, p.k, 0, p.n, 1.0f};
  const Output y{p.y, p.y_stride, p.m, p.n, p.bias};
  if (p.layout == BLayout::k_contiguous) {
    start_with<BLayout::k_contiguous>(segments, y, all_aligned(p), tile, stream);
  } else {
    start_with<BLayout::n_contiguous>(segments, y, all_aligned(p), tile, stream);
  }
}

}  // namespace LORIKEET_CUDA
