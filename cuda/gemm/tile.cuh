// Tile shapes of the matrix product. They decide speed and nothing else: every row of the table is run by the tests.
#pragma once

#include "../swizzle.cuh"

namespace LORIKEET_CUDA {

template <int kBlockM_, int kBlockN_, int kBlockK_, int kWarpM_, int kWarpN_, int kStages_>
struct TileShape {
  static constexpr int kBlockM = kBlockM_, kBlockN = kBlockN_;  // of the output, computed by one block
  static constexpr int kBlockK = kBlockK_;                      // of the reduction, in shared memory at once
  static constexpr int kWarpM = kWarpM_, kWarpN = kWarpN_;      // of the output, computed by one warp
  static constexpr int kStages = kStages_;                      // tiles of the reduction in flight

  static constexpr int kWarpsM = kBlockM / kWarpM, kWarpsN = kBlockN / kWarpN;
  static constexpr int kThreads = kWarpsM * kWarpsN * 32;
  static constexpr int kElementsA = kBlockM * kBlockK, kElementsB = kBlockN * kBlockK;
  static constexpr int kStageElements = kElementsA + kElementsB;
  static constexpr int kSharedBytes = kStages * kStageElements * 2;

  static_assert(kBlockM % kWarpM == 0 && kBlockN % kWarpN == 0, "warps share the block's tile out evenly");
  static_assert(kWarpM % 16 == 0 && kWarpN % 16 == 0 && kBlockK % 16 == 0, "mma tiles fit");
  static_assert(kStages >= 2, "one tile is computed while another arrives");
  static_assert(kBlockM * kBlockN <= kStages * kStageElements, "the epilogue stages the output in the same memory");
};

// Warps of 64 x 64 read shared memory least (4 mma for each ldmatrix); three stages of 16 KiB let two blocks share a
// multiprocessor of 100 KiB. The smaller ones fill cards when the output is small.
using Tile128x128 = TileShape<128, 128, 32, 64, 64, 3>;
using Tile128x64 = TileShape<128, 64, 32, 64, 32, 3>;
using Tile64x64 = TileShape<64, 64, 32, 32, 32, 3>;

enum class TileChoice { t128x128, t128x64, t64x64 };

}  // namespace LORIKEET_CUDA
