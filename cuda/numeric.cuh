// Number formats of kernels.
#pragma once

#include "ptx.cuh"

namespace LORIKEET_CUDA {

struct bf16 {
  uint16_t bits;
};

__device__ __forceinline__ float to_float(float x) { return x; }
__device__ __forceinline__ float to_float(bf16 x) { return float_of_bits(static_cast<uint32_t>(x.bits) << 16); }

template <typename T>
__device__ __forceinline__ T from_float(float x);
template <>
__device__ __forceinline__ float from_float<float>(float x) {
  return x;
}
template <>
__device__ __forceinline__ bf16 from_float<bf16>(float x) {
  return bf16{static_cast<uint16_t>(pack_bf16(x, 0.0f))};
}

// As many elements as one access moves.
template <typename T>
constexpr int kPerAccess = 16 / static_cast<int>(sizeof(T));

// Whether all of them allow accesses of 16 bytes.
template <typename... T>
bool aligned(const T*... pointers) {
  return ((reinterpret_cast<uintptr_t>(pointers) % 16 == 0) && ...);
}

}  // namespace LORIKEET_CUDA
