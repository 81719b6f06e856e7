// What happens to the sums of a tile before they are written.
#pragma once

#include "main_loop.cuh"

namespace LORIKEET_CUDA {

template <typename T>
struct Output {
  Global<T> data;
  int64_t stride;
  int rows, columns;
  Global<const float> bias;  // [columns], or null
  bool aligned;              // every row starts at a multiple of 16 bytes and has a multiple of as many
};

template <typename T>
Output<T> output_of(T* data, int64_t stride, int rows, int columns, const float* bias) {
  return {data, stride, rows, columns, bias, aligned(data, stride) && columns % kPerAccess<T> == 0};
}

// A warp's tile, whose first element is (row, column) of the output, straight from registers.
template <class Operands>
__device__ __forceinline__ void write_sums(const Output<float>& y, const Operands& operands,
                                           typename MainLoop<Operands>::Sums& sums, int row, int column,
                                           Shared<float>) {
  using Product = WarpProduct<Operands>;
  Product::visit(sums, [&](int tile_row, int tile_column, const Vector<float, Product::kRun>& values) {
    const int r = row + tile_row, c = column + tile_column;
    if (r >= y.rows) return;
    const int64_t start = operands.output_row(r) * y.stride + c;
    if (y.aligned) {
      if (c < y.columns) store_vector(y.data, start, values);
    } else {
      LORIKEET_UNROLL for (int e = 0; e < Product::kRun; e++) {
        if (c + e < y.columns) store(y.data, start + e, values[e]);
      }
    }
  });
}

// In bf16 it goes through `stage` (kWarpM * kWarpN elements of the warp's own): straight from the fragments a store
// instruction would fill eight half-used sectors instead of whole rows of 16-byte pieces.
template <class Operands>
__device__ __forceinline__ void write_sums(const Output<bf16>& y, const Operands& operands,
                                           typename MainLoop<Operands>::Sums& sums, int row, int column,
                                           Shared<bf16> stage) {
  using Tile = typename Operands::Tile;
  static_assert(Tile::kBlockM * Tile::kBlockN <= Tile::kStages * Tile::kStageElements, "tiles make room for the stage");
  constexpr int kChunks = Tile::kWarpN / 8;
  const int lane = static_cast<int>(threadIdx.x) % 32;
  WarpProduct<Operands>::visit(sums, [&](int tile_row, int tile_column, const Vector<float, 2>& values) {
    const int at = swizzled<kChunks>(tile_row, tile_column / 8) * 8 + tile_column % 8;
    store(stage.as<uint32_t>(), at / 2, pack_bf16(values[0], values[1]));
  });
  sync_warp();
  LORIKEET_UNROLL for (int i = 0; i < Tile::kWarpM * kChunks / 32; i++) {
    const int tile_row = (i * 32 + lane) / kChunks, chunk = lane % kChunks;
    const int r = row + tile_row, c = column + chunk * 8;
    const Vector<bf16, 8> values = load_vector<8>(stage, swizzled<kChunks>(tile_row, chunk) * 8);
    if (r >= y.rows) continue;
    const int64_t start = operands.output_row(r) * y.stride + c;
    if (y.aligned) {
      if (c < y.columns) store_vector(y.data, start, values);
    } else {
      LORIKEET_UNROLL for (int e = 0; e < 8; e++) {
        if (c + e < y.columns) store(y.data, start + e, values[e]);
      }
    }
  }
}

// Adds the bias, rounds to the output's format and writes a warp's tile.
template <class Operands>
__device__ __forceinline__ void write_tile(const Output<typename Operands::Tile::Element>& y, const Operands& operands,
                                           typename MainLoop<Operands>::Sums& sums, int row, int column,
                                           Shared<typename Operands::Tile::Element> stage) {
  if (y.bias) {
    WarpProduct<Operands>::add_to_columns(
        sums, [&](int c) { return column + c < y.columns ? load(y.bias, column + c) : 0.0f; });
  }
  write_sums(y, operands, sums, row, column, stage);
}

}  // namespace LORIKEET_CUDA
