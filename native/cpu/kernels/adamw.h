// The step of AdamW on one parameter, in the order of operations of torch.optim.AdamW: what adamw and adamw_8bit share.
#pragma once

#include "../../core/ops/adamw.h"

#include <cmath>

#include "../elementwise.h"

namespace lorikeet::cpu {

// What is the same for all elements of a range. Computed in f64 and rounded once, as Python's scalars are.
struct AdamwFactors {
  float decay;  // 1 - lr * weight_decay
  float clip;   // factor of the gradient
  bool near;    // torch.lerp starts from the nearer end
  float rate;   // 1 - beta1, less 1 from the other end
  float beta2, square_rate;
  float denominator_scale;  // sqrt(1 - beta2^t)
  float eps;
  float step_size;  // lr / (1 - beta1^t)
};

// The gradient is clipped as torch.nn.utils.clip_grad_norm_ does. `scalars` and `norm` as the ops have them.
inline AdamwFactors adamw_factors(const AdamwOptions& options, int64_t group, double weight_decay, const float* scalars,
                                  float norm) {
  const double lr = scalars[2 + group];
  const float mean_rate = static_cast<float>(1.0 - options.beta1);
  AdamwFactors factors;
  factors.decay = static_cast<float>(1.0 - lr * weight_decay);
  factors.clip = options.max_norm > 0 ? std::min(1.0f, static_cast<float>(options.max_norm) / (norm + 1e-6f)) : 1.0f;
  factors.near = mean_rate < 0.5f;
  factors.rate = factors.near ? mean_rate : mean_rate - 1.0f;
  factors.beta2 = static_cast<float>(options.beta2);
  factors.square_rate = static_cast<float>(1.0 - options.beta2);
  factors.denominator_scale = static_cast<float>(std::sqrt(static_cast<double>(scalars[1])));
  factors.eps = static_cast<float>(options.eps);
  factors.step_size = static_cast<float>(lr / scalars[0]);
  return factors;
}

}  // namespace lorikeet::cpu
