// Sums over a warp, the same bits in every lane and every run.
#pragma once

#include "threads.cuh"

namespace LORIKEET_CUDA {

__device__ __forceinline__ float warp_sum(float value) {
  LORIKEET_UNROLL for (int distance = 16; distance > 0; distance /= 2) value += shuffle_xor(value, distance);
  return value;
}

// How many values there were, their mean, and the sum of their squared distances from it.
struct Moments {
  float count, mean, squares;
};

// Of both together (Chan, Golub, LeVeque 1983). Symmetric to the bit when the counts are equal.
__device__ __forceinline__ Moments combine(const Moments& a, const Moments& b) {
  const float count = a.count + b.count;
  if (count == 0.0f) return a;
  const float distance = b.mean - a.mean, share = b.count / count;
  return {count, a.mean + distance * share, a.squares + b.squares + distance * distance * a.count * share};
}

// Lane 0 receives those of the whole warp.
__device__ __forceinline__ Moments warp_moments(Moments own) {
  LORIKEET_UNROLL for (int distance = 16; distance > 0; distance /= 2) {
    const Moments other = {shuffle_down(own.count, distance), shuffle_down(own.mean, distance),
                           shuffle_down(own.squares, distance)};
    own = combine(own, other);
  }
  return own;
}

}  // namespace LORIKEET_CUDA
