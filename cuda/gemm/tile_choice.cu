#include "tile_choice.h"

#include "../runtime.h"

namespace LORIKEET_CUDA {
namespace {

// `rate`: the share of the card's rate that its warps' tiles can reach.
struct Extents {
  TileChoice tile;
  const char* name;
  int m, n;
  double rate;
};
constexpr Extents kExtents[] = {{TileChoice::t128x128, "128x128", 128, 128, 1.0},
                                {TileChoice::t128x64, "128x64", 128, 64, 0.9},
                                {TileChoice::t64x64, "64x64", 64, 64, 0.8},
                                {TileChoice::t32x16, "32x16", 32, 16, 0.25}};

}  // namespace

const std::vector<TileChoice>& tiles_of(DType dtype) {
  static const std::vector<TileChoice> all = {TileChoice::t128x128, TileChoice::t128x64, TileChoice::t64x64,
                                              TileChoice::t32x16};
  static const std::vector<TileChoice> of_f32 = {TileChoice::t128x64, TileChoice::t64x64};
  return dtype == DType::f32 ? of_f32 : all;
}

std::string name_of(TileChoice tile) { return kExtents[static_cast<int>(tile)].name; }

int choose_tile(DType dtype, int64_t m, int64_t n, int multiprocessors) {
  const std::vector<TileChoice>& tiles = tiles_of(dtype);
  int best = 0;
  double least = 0;
  for (size_t i = 0; i < tiles.size(); i++) {
    const Extents& extents = kExtents[static_cast<int>(tiles[i])];
    const int64_t blocks = static_cast<int64_t>(blocks_for(m, extents.m)) * blocks_for(n, extents.n);
    const double time = static_cast<double>(blocks_for(blocks, multiprocessors)) * extents.m * extents.n / extents.rate;
    if (i > 0 && time >= least) continue;
    least = time;
    best = static_cast<int>(i);
  }
  return best;
}

}  // namespace LORIKEET_CUDA
