// What several threads do together: barriers, shuffles, votes, atomics. Each wrapped once, with its twin for the
// emulator, which insists that every lane named by a mask arrives.
#pragma once

#include "memory.cuh"

#if !defined(__CUDACC__)
#include <algorithm>
#endif

namespace LORIKEET_CUDA {

constexpr uint32_t kAllLanes = 0xffffffffu;

#if defined(__CUDACC__)

// __syncthreads, and its like for lanes of a warp: both order accesses to memory.
__device__ __forceinline__ void sync_block() { __syncthreads(); }
__device__ __forceinline__ void sync_warp(uint32_t mask = kAllLanes) { __syncwarp(mask); }

// What lane `lane ^ distance`, `lane + distance` (own value at the end) or `source` has as `value`.
template <typename T>
__device__ __forceinline__ T shuffle_xor(T value, int distance, uint32_t mask = kAllLanes) {
  return __shfl_xor_sync(mask, value, distance);
}
template <typename T>
__device__ __forceinline__ T shuffle_down(T value, int distance, uint32_t mask = kAllLanes) {
  return __shfl_down_sync(mask, value, distance);
}
template <typename T>
__device__ __forceinline__ T shuffle(T value, int source, uint32_t mask = kAllLanes) {
  return __shfl_sync(mask, value, source);
}

// One bit for each lane of the mask.
__device__ __forceinline__ uint32_t ballot(bool vote, uint32_t mask = kAllLanes) { return __ballot_sync(mask, vote); }
__device__ __forceinline__ bool all_of(bool vote, uint32_t mask = kAllLanes) { return __all_sync(mask, vote); }
__device__ __forceinline__ bool any_of(bool vote, uint32_t mask = kAllLanes) { return __any_sync(mask, vote); }

// Each returns the value before. Integers only: sums of floats would depend on the order of arrival.
template <template <typename> class Space, typename T>
__device__ __forceinline__ T atomic_add(Space<T> memory, int i, T value) {
  static_assert(std::is_integral_v<T>, "float atomics are not deterministic");
  return atomicAdd(memory.pointer + i, value);
}
template <template <typename> class Space, typename T>
__device__ __forceinline__ T atomic_max(Space<T> memory, int i, T value) {
  static_assert(std::is_integral_v<T>, "float atomics are not deterministic");
  return atomicMax(memory.pointer + i, value);
}
template <template <typename> class Space, typename T>
__device__ __forceinline__ T atomic_compare_swap(Space<T> memory, int i, T expected, T value) {
  return atomicCAS(memory.pointer + i, expected, value);
}

#else

namespace detail {

// The argument that lane `lane` brought to a warp-wide operation.
template <typename Call>
Call& argument(sim::WarpCall& warp, int lane) {
  return *static_cast<Call*>(warp.arguments[lane]);
}

template <typename Call>
void collect(const sim::Collective& op, uint32_t mask, Call& call, sim::Site site) {
  sim::current_block->collect(op, mask, &call, site);
}

template <typename T>
struct ShuffleCall {
  T value;
  int source;  // lane
  T result;
};

template <typename T>
void run_shuffle(sim::WarpCall& warp) {
  warp.block.counters().warp_operations++;
  for (int lane = 0; lane < 32; lane++) {
    if (!(warp.mask >> lane & 1)) continue;
    ShuffleCall<T>& call = argument<ShuffleCall<T>>(warp, lane);
    if (!(warp.mask >> call.source & 1)) {
      warp.block.fail(sim::FaultKind::collective_divergence, warp.lanes[lane],
                      "takes a value from lane " + std::to_string(call.source) + ", which its mask does not name",
                      warp.site);
    }
    call.result = argument<ShuffleCall<T>>(warp, call.source).value;
  }
}

template <typename T>
T exchange(const char* name, T value, int source, uint32_t mask, sim::Site site) {
  static_assert(sizeof(T) == 4, "lanes exchange 32-bit values");
  static const sim::Collective op{name, false, &run_shuffle<T>};
  ShuffleCall<T> call{value, source, T()};
  collect(op, mask, call, site);
  return call.result;
}

inline int lane_of_current() { return sim::current_block->current().clock.lane(); }

struct BallotCall {
  bool vote;
  uint32_t result;
};

inline void run_ballot(sim::WarpCall& warp) {
  warp.block.counters().warp_operations++;
  uint32_t votes = 0;
  for (int lane = 0; lane < 32; lane++) {
    if (warp.mask >> lane & 1) votes |= static_cast<uint32_t>(argument<BallotCall>(warp, lane).vote) << lane;
  }
  for (int lane = 0; lane < 32; lane++) {
    if (warp.mask >> lane & 1) argument<BallotCall>(warp, lane).result = votes;
  }
}

inline uint32_t vote(const char* name, bool vote, uint32_t mask, sim::Site site) {
  static const sim::Collective op{name, false, &run_ballot};
  BallotCall call{vote, 0};
  collect(op, mask, call, site);
  return call.result;
}

inline void run_sync_warp(sim::WarpCall& warp) {
  warp.block.counters().warp_barriers++;
  uint32_t seen[32] = {};
  for (int lane = 0; lane < 32; lane++) {
    if (!(warp.mask >> lane & 1)) continue;
    sim::Clock& clock = warp.lanes[lane].clock;
    clock.seen[lane] = ++clock.warp_barriers;
    for (int i = 0; i < 32; i++) seen[i] = std::max(seen[i], clock.seen[i]);
  }
  for (int lane = 0; lane < 32; lane++) {
    if (warp.mask >> lane & 1) std::memcpy(warp.lanes[lane].clock.seen, seen, sizeof seen);
  }
}

}  // namespace detail

inline void sync_block(LORIKEET_SITE_ONLY) { sim::current_block->sync(LORIKEET_SITE_HERE); }

inline void sync_warp(uint32_t mask = kAllLanes LORIKEET_SITE) {
  static const sim::Collective op{"sync_warp", false, &detail::run_sync_warp};
  int nothing = 0;
  detail::collect(op, mask, nothing, LORIKEET_SITE_HERE);
}

template <typename T>
T shuffle_xor(T value, int distance, uint32_t mask = kAllLanes LORIKEET_SITE) {
  return detail::exchange("shuffle_xor", value, (detail::lane_of_current() ^ distance) & 31, mask, LORIKEET_SITE_HERE);
}
template <typename T>
T shuffle_down(T value, int distance, uint32_t mask = kAllLanes LORIKEET_SITE) {
  const int lane = detail::lane_of_current();
  return detail::exchange("shuffle_down", value, lane + distance > 31 ? lane : lane + distance, mask,
                          LORIKEET_SITE_HERE);
}
template <typename T>
T shuffle(T value, int source, uint32_t mask = kAllLanes LORIKEET_SITE) {
  return detail::exchange("shuffle", value, source & 31, mask, LORIKEET_SITE_HERE);
}

inline uint32_t ballot(bool vote, uint32_t mask = kAllLanes LORIKEET_SITE) {
  return detail::vote("ballot", vote, mask, LORIKEET_SITE_HERE);
}
inline bool all_of(bool vote, uint32_t mask = kAllLanes LORIKEET_SITE) {
  return detail::vote("all_of", vote, mask, LORIKEET_SITE_HERE) == mask;
}
inline bool any_of(bool vote, uint32_t mask = kAllLanes LORIKEET_SITE) {
  return detail::vote("any_of", vote, mask, LORIKEET_SITE_HERE) != 0;
}

namespace detail {
template <typename T>
T* atomic_address(Global<T> memory, int64_t i, sim::Site site) {
  static_assert(std::is_integral_v<T>, "float atomics are not deterministic");
  return global_address<1>(memory, i, sim::Touch::atomic, site);
}
template <typename T>
T* atomic_address(Shared<T> memory, int i, sim::Site site) {
  static_assert(std::is_integral_v<T>, "float atomics are not deterministic");
  return shared_address<1>(memory, i, sim::Touch::atomic, site);
}
}  // namespace detail

template <template <typename> class Space, typename T>
T atomic_add(Space<T> memory, int i, T value LORIKEET_SITE) {
  T* address = detail::atomic_address(memory, i, LORIKEET_SITE_HERE);
  const T before = *address;
  *address = before + value;
  return before;
}
template <template <typename> class Space, typename T>
T atomic_max(Space<T> memory, int i, T value LORIKEET_SITE) {
  T* address = detail::atomic_address(memory, i, LORIKEET_SITE_HERE);
  const T before = *address;
  *address = std::max(before, value);
  return before;
}
template <template <typename> class Space, typename T>
T atomic_compare_swap(Space<T> memory, int i, T expected, T value LORIKEET_SITE) {
  T* address = detail::atomic_address(memory, i, LORIKEET_SITE_HERE);
  const T before = *address;
  if (before == expected) *address = value;
  return before;
}

#endif

}  // namespace LORIKEET_CUDA
