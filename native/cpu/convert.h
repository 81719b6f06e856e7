// bf16 <-> f32, one value or a row at a time. bf16 is the upper half of an f32; rounding is to nearest even, NaN stays
// NaN.
#pragma once

#include <cstdint>
#include <cstring>

namespace lorikeet::cpu {

using bf16 = uint16_t;

inline float to_f32(float x) { return x; }

inline float to_f32(bf16 x) {
  const uint32_t bits = static_cast<uint32_t>(x) << 16;
  float y;
  std::memcpy(&y, &bits, 4);
  return y;
}

inline bf16 to_bf16(float x) {
  uint32_t bits;
  std::memcpy(&bits, &x, 4);
  // A NaN whose payload lies in the lower half would round to infinity.
  if ((bits & 0x7fffffffu) > 0x7f800000u) return static_cast<bf16>((bits >> 16) | 0x40u);
  return static_cast<bf16>((bits + 0x7fffu + ((bits >> 16) & 1u)) >> 16);
}

template <typename T>
T from_f32(float x);
template <>
inline float from_f32<float>(float x) {
  return x;
}
template <>
inline bf16 from_f32<bf16>(float x) {
  return to_bf16(x);
}

// Rows of n values; source and destination must not overlap.
void convert_row(const bf16* from, float* to, int64_t n);
void convert_row(const float* from, bf16* to, int64_t n);

}  // namespace lorikeet::cpu
