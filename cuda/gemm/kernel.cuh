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

// Of one multiprocessor. Without a number ptxas saves registers for more of them, until some registers spill.
constexpr int kLeastBlocks = 2;

template <class Operands>
__global__ void __launch_bounds__(Operands::Tile::kThreads, kLeastBlocks)
    matmul_kernel(Segments<typename Operands::Tile::Element> segments, Output<typename Operands::Tile::Element> y,
                  typename Operands::Parameters parameters) {
  using Tile = typename Operands::Tile;
  using T = typename Tile::Element;
  const Place<Tile> at(y.rows, y.columns);
  const Shared<T> tiles = dynamic_shared<T>("tiles", 0, Tile::kStages * Tile::kStageElements);
  typename MainLoop<Operands>::Sums sums;
  const Operands operands(parameters, y.rows, at.m, at.n);
  MainLoop<Operands>::run(segments, operands, y.rows, at.m, at.n, at.warp_m, at.warp_n, tiles, sums);
  write_tile<Operands>(y, operands, sums, at.m + at.warp_m, at.n + at.warp_n,
                       tiles + at.warp * Tile::kWarpM * Tile::kWarpN);
}

// Calls start(a tile shape) for the choice; Table is Tiles<T> or one like it.
template <class Table, class Start>
void with_tile(TileChoice tile, const Start& start) {
  switch (tile) {
    case TileChoice::t128x128: return start(typename Table::T128x128{});
    case TileChoice::t128x64: return start(typename Table::T128x64{});
    case TileChoice::t64x64: return start(typename Table::T64x64{});
    case TileChoice::t32x16: return start(typename Table::T32x16{});
  }
}

// `Operands<Tile>` for the tile chosen.
template <template <class> class Operands, typename T, class Parameters>
void start_matmul(const char* name, const Segments<T>& segments, const Output<T>& y, const Parameters& parameters,
                  TileChoice choice, Stream stream) {
  with_tile<Tiles<T>>(choice, [&](auto tile) {
    using Tile = decltype(tile);
    launch(name, &matmul_kernel<Operands<Tile>>, shape_for<Tile>(y.rows, y.columns), stream, segments, y, parameters);
  });
}

}  // namespace LORIKEET_CUDA
