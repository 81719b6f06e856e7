// exp, sigmoid and the normal distribution for loops that the compiler vectorises: no branches, no tables, no calls.
// Each is inlined into the loop, so it takes the loop's instruction set (see LORIKEET_CLONES in elementwise.h).
// NaN stays NaN and infinities give the limits. The polynomials are own minimax fits to double-precision values.
#pragma once

#include <cstdint>
#include <cstring>

namespace lorikeet::cpu {

#define LORIKEET_INLINE inline __attribute__((always_inline))

namespace detail {
LORIKEET_INLINE uint32_t bits_of(float x) {
  uint32_t bits;
  std::memcpy(&bits, &x, 4);
  return bits;
}
LORIKEET_INLINE float float_of(uint32_t bits) {
  float x;
  std::memcpy(&x, &bits, 4);
  return x;
}
}  // namespace detail

// e^x. Relative error below 1e-7 where the result is a normal number (-87.3 < x < 88.7); above that infinity, below it
// denormal numbers and then 0.
LORIKEET_INLINE float exp_f32(float x) {
  // Both limits lie beyond the ones of the result. Written so that NaN passes.
  x = x < -104.0f ? -104.0f : x;
  x = x > 89.0f ? 89.0f : x;
  // n = round(x / ln 2): adding 1.5 * 2^23 leaves the integer in the lowest bits, without a conversion that NaN would
  // break.
  constexpr float kRounder = 12582912.0f;
  const float shifted = x * 1.44269504f + kRounder;
  const float n = shifted - kRounder;
  // r = x - n ln 2 in two parts; the first has so few digits that its product with n is exact.
  float r = x - n * 0.693359375f;
  r = r + n * 2.12194440e-4f;
  // e^r = 1 + r + r^2 q(r) for |r| <= ln(2)/2, error 3.1e-9 before rounding
  float q = 1.38145988e-3f;
  q = q * r + 8.36871658e-3f;
  q = q * r + 4.16683890e-2f;
  q = q * r + 0.166665211f;
  q = q * r + 0.499999940f;
  const float p = (q * r) * r + r + 1.0f;
  // 2^n as two factors, since n reaches from -150 to 128.
  const int32_t whole = static_cast<int32_t>(detail::bits_of(shifted) - detail::bits_of(kRounder));
  const int32_t half = whole >> 1;
  const float first = detail::float_of(static_cast<uint32_t>(half + 127) << 23);
  const float second = detail::float_of(static_cast<uint32_t>(whole - half + 127) << 23);
  return p * first * second;
}

// 1 / (1 + e^-x). Relative error below 2e-7 for x > -87. tanh(x) is 2 sigmoid(2x) - 1.
LORIKEET_INLINE float sigmoid_f32(float x) { return 1.0f / (1.0f + exp_f32(-x)); }

// The cumulative distribution and the density of the standard normal distribution.
struct Normal {
  float cdf;      // absolute error below 2e-7; relative error below 3e-6 for x > -10
  float density;  // e^(-x^2/2) / sqrt(2 pi)
};

// erf(x) is 2 normal_f32(x sqrt(2)).cdf - 1, and the exact GELU is x * normal_f32(x).cdf with the derivative
// cdf + x * density. One exponential and one division serve both.
LORIKEET_INLINE Normal normal_f32(float x) {
  const float a = x < 0 ? -x : x;
  const float e = exp_f32(-0.5f * a * a);
  // The tail is e * Q(a); Q = t P(t) with t = 1 / (1 + 0.35 a), fitted for 0 <= a <= 14, relative error 3.2e-8.
  const float t = 1.0f / (1.0f + 0.35f * a);
  float p = -2.91459188e-2f;
  p = p * t + 0.143971637f;
  p = p * t - 0.255714148f;
  p = p * t + 0.159174025f;
  p = p * t - 2.31097452e-2f;
  p = p * t + 0.105507970f;
  p = p * t + 0.119832873f;
  p = p * t + 0.139861867f;
  p = p * t + 0.139621407f;
  const float tail = e * (t * p);
  return {x < 0 ? tail : 1.0f - tail, e * 0.398942280f};
}

}  // namespace lorikeet::cpu
