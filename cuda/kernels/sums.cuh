// Sums of many numbers in two stages: blocks sum parts of one size whatever the card, another kernel sums the parts.
// The same bits every time, on every card. A thread sums its own share in f32; from there on it is f64, of so few
// numbers that consumer cards, which have hardly any f64 units, do not mind.
#pragma once

#include "../launch.cuh"
#include "../numeric.cuh"

namespace LORIKEET_CUDA {

constexpr int kSumThreads = 256;

// What the threads of a block of kSumThreads bring; thread 0 receives the sum.
__device__ __forceinline__ double block_sum(double value) {
  LORIKEET_SHARED_ARRAY(double, sums, kSumThreads);
  const int thread = static_cast<int>(threadIdx.x);
  sync_block();  // the sum before this one may still be read
  store(sums, thread, value);
  for (int distance = kSumThreads / 2; distance > 0; distance /= 2) {
    sync_block();
    if (thread >= distance) continue;
    value += load(sums, thread + distance);
    store(sums, thread, value);
  }
  return value;
}

// Of `count` sums from `first` on; thread 0 receives it.
__device__ __forceinline__ double sum_of_parts(Global<const double> sums, int64_t first, int64_t count) {
  double sum = 0.0;
  for (int64_t i = threadIdx.x; i < count; i += kSumThreads) sum += load(sums, first + i);
  return block_sum(sum);
}

}  // namespace LORIKEET_CUDA
