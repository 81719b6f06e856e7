// The activation functions: value and derivative at one point, with the digits that f32 has left for them. NaN stays
// NaN.
#pragma once

#include "../numeric.cuh"

namespace LORIKEET_CUDA {

// 1 / (1 + e^-x). The exponential is the exact one: exp2_approx of a rounded product loses digits for large x.
__device__ __forceinline__ float sigmoid(float x) { return 1.0f / (1.0f + expf(-x)); }

// The cumulative distribution and the density of the standard normal distribution. erfc keeps the digits of the tail,
// which 1 + erf would cancel.
__device__ __forceinline__ float normal_cdf(float x) { return 0.5f * erfcf(x * -0.707106781f); }
__device__ __forceinline__ float normal_density(float x) { return 0.398942280f * expf(-0.5f * x * x); }

// x * sigmoid(x)
struct Silu {
  static __device__ __forceinline__ float value(float x) { return x * sigmoid(x); }
  static __device__ __forceinline__ float derivative(float x) {
    const float s = sigmoid(x);
    return s + x * s * sigmoid(-x);  // 1 - s would lose digits for large x
  }
};

// x * P(X < x) for a standard normal X: the exact ("erf") GELU
struct Gelu {
  static __device__ __forceinline__ float value(float x) { return x * normal_cdf(x); }
  static __device__ __forceinline__ float derivative(float x) { return normal_cdf(x) + x * normal_density(x); }
};

// The tanh approximation, 0.5 x (1 + tanh(u)) = x sigmoid(2u) with u = sqrt(2/pi) (x + 0.044715 x^3)
struct GeluTanh {
  static __device__ __forceinline__ float twice_u(float x) { return x * (1.59576912f + 0.0713548163f * x * x); }
  static __device__ __forceinline__ float value(float x) { return x * sigmoid(twice_u(x)); }
  static __device__ __forceinline__ float derivative(float x) {
    const float s = sigmoid(twice_u(x));
    return s + x * s * sigmoid(-twice_u(x)) * (1.59576912f + 0.214064478f * x * x);
  }
};

// x * sigmoid(1.702 x), the activation of the CLIP text encoder of Stable Diffusion 1.x
struct QuickGelu {
  static __device__ __forceinline__ float value(float x) { return x * sigmoid(1.702f * x); }
  static __device__ __forceinline__ float derivative(float x) {
    const float s = sigmoid(1.702f * x);
    return s + 1.702f * x * s * sigmoid(-1.702f * x);
  }
};

}  // namespace LORIKEET_CUDA
