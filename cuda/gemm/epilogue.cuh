// What happens to the sums of a tile before they are written.
#pragma once

#include "main_loop.cuh"

namespace LORIKEET_CUDA {

struct Output {
  Global<bf16> data;
  int64_t stride;
  int rows, columns;
  Global<const float> bias;  // [columns], or null
};

// Adds the bias, rounds to bf16 and writes a warp's tile, whose first element is (row, column) of the output. The tile
// goes through `stage` (kWarpM * kWarpN elements of the warp's own): straight from the fragments a store instruction
// would fill eight half-used sectors instead of whole rows of 16-byte pieces.
template <class Operands>
__device__ __forceinline__ void write_tile(const Output& y, const Operands& operands,
                                           typename MainLoop<Operands>::Sums& sums, int row, int column,
                                           Shared<bf16> stage) {
  using Tile = typename Operands::Tile;
  constexpr int kChunks = Tile::kWarpN / 8;
  const int lane = static_cast<int>(threadIdx.x) % 32;
  LORIKEET_UNROLL for (int j = 0; j < Tile::kWarpN / 8; j++) {
    float bias[2] = {0.0f, 0.0f};
    if (y.bias) {
      LORIKEET_UNROLL for (int half = 0; half < 2; half++) {
        const int c = column + j * 8 + M16N8K16::c(lane, half).column;
        if (c < y.columns) bias[half] = load(y.bias, c);
      }
    }
    LORIKEET_UNROLL for (int i = 0; i < Tile::kWarpM / 16; i++) {
      LORIKEET_UNROLL for (int reg = 0; reg < 4; reg += 2) {
        const Position at = M16N8K16::c(lane, reg);
        const uint32_t pair = pack_bf16(sums[i][j][reg] + bias[0], sums[i][j][reg + 1] + bias[1]);
        store(stage.as<uint32_t>(), (swizzled<kChunks>(i * 16 + at.row, j) * 8 + at.column) / 2, pair);
      }
    }
  }
  sync_warp();
  LORIKEET_UNROLL for (int i = 0; i < Tile::kWarpM * kChunks / 32; i++) {
    const int tile_row = (i * 32 + lane) / kChunks, chunk = lane % kChunks;
    const int r = row + tile_row, c = column + chunk * 8;
    const Vector<bf16, 8> values = load_vector<8>(stage, swizzled<kChunks>(tile_row, chunk) * 8);
    if (r >= y.rows) continue;
    const int64_t start = operands.output_row(r) * y.stride + c;
    if (Operands::kAligned) {
      if (c < y.columns) store_vector(y.data, start, values);
    } else {
      LORIKEET_UNROLL for (int e = 0; e < 8; e++) {
        if (c + e < y.columns) store(y.data, start + e, values[e]);
      }
    }
  }
}

}  // namespace LORIKEET_CUDA
