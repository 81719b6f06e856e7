// The activation functions: value and derivative at one point.
#pragma once

#include "../../core/ops/activation.h"
#include "../math.h"

namespace lorikeet::cpu {

// x * sigmoid(x)
struct Silu {
  static LORIKEET_INLINE float value(float x) { return x * sigmoid_f32(x); }
  static LORIKEET_INLINE float derivative(float x) {
    const float s = sigmoid_f32(x);
    return s + x * s * sigmoid_f32(-x);  // 1 - s would lose digits for large x
  }
};

// x * P(X < x) for a standard normal X: the exact ("erf") GELU
struct Gelu {
  static LORIKEET_INLINE float value(float x) { return x * normal_f32(x).cdf; }
  static LORIKEET_INLINE float derivative(float x) {
    const Normal normal = normal_f32(x);
    return normal.cdf + x * normal.density;
  }
};

// The tanh approximation, 0.5 x (1 + tanh(u)) = x sigmoid(2u) with u = sqrt(2/pi) (x + 0.044715 x^3)
struct GeluTanh {
  static LORIKEET_INLINE float value(float x) { return x * sigmoid_f32(twice_u(x)); }
  static LORIKEET_INLINE float derivative(float x) {
    const float z = twice_u(x);
    const float s = sigmoid_f32(z);
    return s + x * s * sigmoid_f32(-z) * (1.59576912f + 0.214064478f * x * x);
  }

 private:
  static LORIKEET_INLINE float twice_u(float x) { return x * (1.59576912f + 0.0713548163f * x * x); }
};

// x * sigmoid(1.702 x), the activation of the CLIP text encoder of Stable Diffusion 1.x
struct QuickGelu {
  static LORIKEET_INLINE float value(float x) { return x * sigmoid_f32(1.702f * x); }
  static LORIKEET_INLINE float derivative(float x) {
    const float s = sigmoid_f32(1.702f * x);
    return s + 1.702f * x * s * sigmoid_f32(-1.702f * x);
  }
};

// make(Silu{}), make(Gelu{}), ...
template <typename Make>
auto by_activation(ActivationKind kind, const Make& make) {
  switch (kind) {
    case ActivationKind::silu: return make(Silu{});
    case ActivationKind::gelu: return make(Gelu{});
    case ActivationKind::gelu_tanh: return make(GeluTanh{});
    case ActivationKind::quick_gelu: break;
  }
  return make(QuickGelu{});
}

}  // namespace lorikeet::cpu
