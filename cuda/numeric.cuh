// Number formats of kernels.
#pragma once

#include "bf16.h"
#include "ptx.cuh"

namespace LORIKEET_CUDA {

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

}  // namespace LORIKEET_CUDA
