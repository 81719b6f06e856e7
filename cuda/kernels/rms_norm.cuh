// What rms_norm and its gradient share: rows that stay in the registers of kLanes lanes, kAccesses pieces of 16 bytes a
// lane, so that a warp has several short rows.
#pragma once

#include "../launch.cuh"
#include "../numeric.cuh"
#include "../threads.cuh"

namespace LORIKEET_CUDA {
namespace {

constexpr int kRowThreads = 128;
// Columns of a lane in rows that are too long for registers, whose weights are read again for each: 16 bytes of f32, so
// that lanes ask for whole sectors of them.
constexpr int kLongWidth = 4;

// The sum over kLanes neighbouring lanes, the same in each. All lanes of the warp take part.
template <int kLanes>
__device__ __forceinline__ float lanes_sum(float value) {
  LORIKEET_UNROLL for (int distance = kLanes / 2; distance > 0; distance /= 2) value += shuffle_xor(value, distance);
  return value;
}

// kCount floats in accesses of at most 16 bytes.
template <int kCount>
__device__ __forceinline__ void load_floats(Global<const float> from, int64_t i, float (&to)[kCount]) {
  constexpr int kPiece = kCount < 4 ? kCount : 4;
  LORIKEET_UNROLL for (int e = 0; e < kCount; e += kPiece) {
    const Vector<float, kPiece> piece = load_vector<kPiece>(from, i + e);
    LORIKEET_UNROLL for (int f = 0; f < kPiece; f++) to[e + f] = piece[f];
  }
}

template <int kLanesOfRow, int kAccessesOfLane>
struct InRegisters {
  static constexpr int kLanes = kLanesOfRow, kAccesses = kAccessesOfLane;
  static constexpr int kRows = kRowThreads / kLanes;  // of a block, at once
};

// in_registers(InRegisters<..>) for rows of so many pieces of 16 bytes, if they fit, and otherwise, or if the operands
// do not allow such accesses, longer().
template <typename T, class Short, class Long>
void by_length(int columns, bool aligned, const Short& in_registers, const Long& longer) {
  const int pieces = columns / kPerAccess<T>;
  if (!aligned || columns % kPerAccess<T> != 0 || pieces > 128) return longer();
  if (pieces <= 8) return in_registers(InRegisters<8, 1>{});
  if (pieces <= 16) return in_registers(InRegisters<16, 1>{});
  if (pieces <= 32) return in_registers(InRegisters<32, 1>{});
  in_registers(InRegisters<32, 4>{});
}

}  // namespace
}  // namespace LORIKEET_CUDA
