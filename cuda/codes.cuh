// What the codes of quantised weights stand for (native/core/quantise.h), for the kernels that open them.
#pragma once

#include <utility>

#include "../native/core/quantise.h"
#include "ptx.cuh"

namespace LORIKEET_CUDA {

template <Storage kStorage>
constexpr int kPerWord = kStorage == Storage::nf4 ? 8 : 4;

constexpr int kLevels = 16;  // of nf4; in shared memory they lie in as many banks, so lanes read them without conflicts

namespace detail {
template <int i>
constexpr float kLevel = kNf4Levels[i];

template <int... i>
__device__ __forceinline__ void store_levels(Shared<float> levels, std::integer_sequence<int, i...>) {
  (store(levels, i, kLevel<i>), ...);
}
}  // namespace detail

__device__ __forceinline__ void store_levels(Shared<float> levels) {
  detail::store_levels(levels, std::make_integer_sequence<int, kLevels>());
}

// The number of code `e` of a word. `levels` are looked at for nf4 only.
template <Storage kStorage>
__device__ __forceinline__ float number_of(uint32_t word, int e, Shared<float> levels) {
  if constexpr (kStorage == Storage::nf4) {
    return load(levels, static_cast<int>(word >> (8 * (e / 2) + 4 * (1 - e % 2)) & 15u));
  } else if constexpr (kStorage == Storage::int8) {
    // The code + 128 as the last bits of 2^23, since a card converts integers more slowly than it subtracts floats.
    return float_of_bits((word >> (8 * e) & 255u) ^ 0x4b000080u) - 8388736.0f;
  } else {
    // As fp8_value of native/core/quantise.cc: the bits of an f32 whose exponent is 120 too small.
    const uint32_t code = word >> (8 * e);
    return float_of_bits((code & 0x80u) << 24 | (code & 0x7fu) << 20) * 0x1p120f;
  }
}

}  // namespace LORIKEET_CUDA
