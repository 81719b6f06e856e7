// Division of indices by a number that the launcher knows: a multiplication and a shift, where the card's own division
// takes some twenty instructions and as many registers as a few addresses.
#pragma once

#include "memory.cuh"

namespace LORIKEET_CUDA {

// Quotients of 0 <= n < 2^31. The reciprocal is rounded up, by so little that the quotient grows by less than a part in
// 2^31 of itself, not enough to reach the next one (Granlund and Montgomery 1994, "Division by Invariant Integers using
// Multiplication").
struct Divider {
  int divisor;
  uint32_t factor;
  int shift;

  __device__ __forceinline__ int quotient(int n) const {
    return static_cast<int>(static_cast<uint32_t>(static_cast<uint64_t>(2u * n) * factor >> 32) >> shift);
  }
};

// `divisor`: 1 to 2^30.
inline Divider divide_by(int divisor) {
  int shift = 0;
  while ((1 << shift) < divisor) shift++;
  const uint64_t power = uint64_t{1} << (31 + shift);
  return {divisor, static_cast<uint32_t>((power + divisor - 1) / divisor), shift};
}

}  // namespace LORIKEET_CUDA
