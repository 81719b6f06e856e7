// Conversions between number formats, one value at a time, rounding to nearest even.
#pragma once

#include <cmath>
#include <cstdint>
#include <cstring>

namespace lorikeet {

inline float f32_from_bits(uint32_t bits) {
  float value;
  std::memcpy(&value, &bits, 4);
  return value;
}

inline uint32_t bits_of(float value) {
  uint32_t bits;
  std::memcpy(&bits, &value, 4);
  return bits;
}

inline float f32_from_bf16(uint16_t x) { return f32_from_bits(static_cast<uint32_t>(x) << 16); }

inline uint16_t bf16_from_f32(float x) {
  const uint32_t bits = bits_of(x);
  // A NaN whose payload lies in the lower half would round to infinity.
  if ((bits & 0x7fffffffu) > 0x7f800000u) return static_cast<uint16_t>((bits >> 16) | 0x40u);
  return static_cast<uint16_t>((bits + 0x7fffu + ((bits >> 16) & 1u)) >> 16);
}

inline float f32_from_f16(uint16_t x) {
  const uint32_t sign = static_cast<uint32_t>(x & 0x8000u) << 16;
  const uint32_t exponent = (x >> 10) & 31u;
  const uint32_t mantissa = x & 1023u;
  if (exponent == 31) return f32_from_bits(sign | 0x7f800000u | (mantissa << 13));
  if (exponent == 0) {  // zero and subnormals: mantissa * 2^-24, exact in f32
    const float value = static_cast<float>(mantissa) * 5.9604644775390625e-8f;
    return f32_from_bits(sign | bits_of(value));
  }
  return f32_from_bits(sign | ((exponent + 112) << 23) | (mantissa << 13));
}

}  // namespace lorikeet
