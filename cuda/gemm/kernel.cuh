// The kernel around the main loop: which block computes which tile, and how it is started.
#pragma once

#include "../launch.cuh"
#include "epilogue.cuh"

namespace LORIKEET_CUDA {

// What a block and a warp of it compute.
template <class Tile>
struct Place {
  int m, n;            // first row and column of the block's tile
  int warp;
  int warp_m, warp_n;  // of the warp's part in it

  // Blocks take the tiles of the output in groups of this many rows of tiles, column by column, so that those running
  // at once read few different rows and columns: 3 MB of L2 on the smallest card.
  static constexpr int kGroupM = 8;

  __device__ __forceinline__ Place(int rows, int columns) {
    const int tiles_m = (rows + Tile::kBlockM - 1) / Tile::kBlockM;
    const int tiles_n = (columns + Tile::kBlockN - 1) / Tile::kBlockN;
    const int id = static_cast<int>(blockIdx.x);
    const int group = id / (kGroupM * tiles_n), in_group = id % (kGroupM * tiles_n);
    const int left = tiles_m - group * kGroupM, height = left < kGroupM ? left : kGroupM;
    m = (group * kGroupM + in_group % height) * Tile::kBlockM;
    n = in_group / height * Tile::kBlockN;
    warp = static_cast<int>(threadIdx.x) / 32;
    warp_m = warp % Tile::kWarpsM * Tile::kWarpM;
    warp_n = warp / Tile::kWarpsM * Tile::kWarpN;
  }
};

template <class Tile>
LaunchShape shape_for(int rows, int columns) {
  LaunchShape shape;
  shape.grid = dim3(blocks_for(rows, Tile::kBlockM) * blocks_for(columns, Tile::kBlockN));
  shape.block = dim3(Tile::kThreads);
  shape.shared_bytes = Tile::kSharedBytes;
  return shape;
}

template <class Operands>
__global__ void __launch_bounds__(Operands::Tile::kThreads) matmul_kernel(Segments segments, Output y,
                                                                          typename Operands::Parameters parameters) {
  using Tile = typename Operands::Tile;
  const Place<Tile> at(y.rows, y.columns);
  const Shared<bf16> tiles = dynamic_shared<bf16>("tiles", 0, Tile::kStages * Tile::kStageElements);
  typename MainLoop<Operands>::Sums sums;
  const Operands operands(parameters, y.rows, at.m);
  MainLoop<Operands>::run(segments, operands, y.rows, at.m, at.n, at.warp_m, at.warp_n, tiles, sums);
  write_tile<Operands>(y, operands, sums, at.m + at.warp_m, at.n + at.warp_n,
                       tiles + at.warp * Tile::kWarpM * Tile::kWarpN);
}

template <class Operands>
void start_matmul(const char* name, const Segments& segments, const Output& y,
                  const typename Operands::Parameters& parameters, Stream stream) {
  launch(name, &matmul_kernel<Operands>, shape_for<typename Operands::Tile>(y.rows, y.columns), stream, segments, y,
         parameters);
}

// `Operands<Tile, aligned>` for a tile chosen at run time; operands that are not aligned have one instance only.
template <template <class, bool> class Operands, class Parameters>
void start_matmul_with(const char* name, const Segments& segments, const Output& y, const Parameters& parameters,
                       bool aligned, TileChoice tile, Stream stream) {
  if (!aligned) return start_matmul<Operands<Tile64x64, false>>(name, segments, y, parameters, stream);
  switch (tile) {
    case TileChoice::t128x128:
      return start_matmul<Operands<Tile128x128, true>>(name, segments, y, parameters, stream);
    case TileChoice::t128x64: return start_matmul<Operands<Tile128x64, true>>(name, segments, y, parameters, stream);
    case TileChoice::t64x64: return start_matmul<Operands<Tile64x64, true>>(name, segments, y, parameters, stream);
  }
}

}  // namespace LORIKEET_CUDA
