// Tile shapes of the matrix product. They decide speed and nothing else: every row of the table is run by the tests.
#pragma once

#include "../numeric.cuh"
#include "../swizzle.cuh"

namespace LORIKEET_CUDA {

template <typename Element_, int kBlockM_, int kBlockN_, int kBlockK_, int kWarpM_, int kWarpN_, int kStages_>
struct TileShape {
  using Element = Element_;                                     // of both operands
  static constexpr int kBlockM = kBlockM_, kBlockN = kBlockN_;  // of the output, computed by one block
  static constexpr int kBlockK = kBlockK_;                      // of the reduction, in shared memory at once
  static constexpr int kWarpM = kWarpM_, kWarpN = kWarpN_;      // of the output, computed by one warp
  static constexpr int kStages = kStages_;                      // tiles of the reduction in flight

  static constexpr int kPerChunk = kPerAccess<Element>;  // tiles are moved and lie in chunks of 16 bytes
  static constexpr int kWarpsM = kBlockM / kWarpM, kWarpsN = kBlockN / kWarpN;
  static constexpr int kThreads = kWarpsM * kWarpsN * 32;
  static constexpr int kElementsA = kBlockM * kBlockK, kElementsB = kBlockN * kBlockK;
  static constexpr int kStageElements = kElementsA + kElementsB;
  static constexpr int kSharedBytes = kStages * kStageElements * static_cast<int>(sizeof(Element));

  static_assert(kBlockM % kWarpM == 0 && kBlockN % kWarpN == 0, "warps share the block's tile out evenly");
  static_assert(kStages >= 2, "one tile is computed while another arrives");
};

// In bf16, on tensor cores, warps of 64 x 64 read shared memory least (4 mma for each ldmatrix); three stages of 16 KiB
// let two blocks share a multiprocessor of 100 KiB. The smaller ones fill cards when the output is small. The last
// serves the ranks of adapters, products that do nothing but read x: small blocks, much of it on the way.
template <typename T>
struct Tiles {
  using T128x128 = TileShape<T, 128, 128, 32, 64, 64, 3>;
  using T128x64 = TileShape<T, 128, 64, 32, 64, 32, 3>;
  using T64x64 = TileShape<T, 64, 64, 32, 32, 32, 3>;
  using T32x16 = TileShape<T, 32, 16, 64, 16, 16, 4>;
};

// In f32 a lane has 8 x 8 or 8 x 4 sums in registers, and more of them would leave too few warps. A step takes long
// enough to hide that one tile at a time arrives.
template <>
struct Tiles<float> {
  using T128x64 = TileShape<float, 128, 64, 16, 32, 64, 2>;
  using T64x64 = TileShape<float, 64, 64, 16, 32, 32, 2>;
  using T128x128 = T128x64;
  using T32x16 = T64x64;
};

}  // namespace LORIKEET_CUDA
