// The step of AdamW on one parameter, in the order of operations of torch.optim.AdamW: what adamw and adamw_8bit share.
#pragma once

#include "../numeric.cuh"
#include "../threads.cuh"
#include "adamw.h"

namespace LORIKEET_CUDA {

constexpr int kAdamwThreads = 256;

// What is the same for all parameters, rounded from f64 once, as Python's scalars are.
struct AdamwSettings {
  bool near;   // torch.lerp starts from the nearer end
  float rate;  // 1 - beta1, less 1 from the other end
  float beta2, square_rate, eps;
  float max_norm;
};

inline AdamwSettings round_settings(double beta1, double beta2, double eps, double max_norm) {
  const float mean_rate = static_cast<float>(1.0 - beta1);
  const bool near = mean_rate < 0.5f;
  return {near,
          near ? mean_rate : mean_rate - 1.0f,
          static_cast<float>(beta2),
          static_cast<float>(1.0 - beta2),
          static_cast<float>(eps),
          static_cast<float>(max_norm)};
}

// What is the same for all parameters of a piece.
struct AdamwFactors {
  float clip, decay, denominator_scale, step_size;
};

// For the whole block, which meets at a barrier. The gradient is clipped as torch.nn.utils.clip_grad_norm_ does.
__device__ __forceinline__ AdamwFactors adamw_factors(const AdamwSettings& settings, const AdamwPiece& piece,
                                                      Global<const float> scalars, float norm) {
  LORIKEET_SHARED_ARRAY(float, factors, 3);
  if (threadIdx.x == 0) {  // one thread: consumer cards have few f64 units
    const double lr = load(scalars, 2 + piece.group);
    store(factors, 0, static_cast<float>(1.0 - lr * piece.weight_decay));
    store(factors, 1, static_cast<float>(sqrt(static_cast<double>(load(scalars, 1)))));
    store(factors, 2, static_cast<float>(lr / load(scalars, 0)));
  }
  sync_block();
  const float ratio = settings.max_norm / (norm + 1e-6f);
  const float clip = settings.max_norm > 0.0f && ratio < 1.0f ? ratio : 1.0f;
  return {clip, load(factors, 0), load(factors, 1), load(factors, 2)};
}

__device__ __forceinline__ bool is_finite(float x) { return fabsf(x) <= 3.402823466e38f; }

struct AdamwElement {
  float mean, square, parameter;
};

__device__ __forceinline__ AdamwElement adamw_update(const AdamwSettings& settings, const AdamwFactors& factors,
                                                     const AdamwElement& old, float g) {
  const float gradient = g * factors.clip;
  AdamwElement next;
  next.mean = (settings.near ? old.mean : gradient) + settings.rate * (gradient - old.mean);
  next.square = old.square * settings.beta2 + settings.square_rate * gradient * gradient;
  const float denominator = sqrtf(next.square) / factors.denominator_scale + settings.eps;
  next.parameter = old.parameter * factors.decay - factors.step_size * next.mean / denominator;
  return next;
}

}  // namespace LORIKEET_CUDA
