// adamw: one step of AdamW (Loshchilov and Hutter, arXiv 1711.05101) over the trainable parameters, in place, in the
// order of operations of torch.optim.AdamW, with the gradient clipped as torch.nn.utils.clip_grad_norm_ does. The bf16
// shadow that the matmuls read is written in the same pass. When the norm is not finite nothing changes.
#include "../../core/ops/adamw.h"

#include <cmath>

#include "../elementwise.h"

namespace lorikeet::cpu {
namespace {

// What is the same for all elements of a piece. Computed in f64 and rounded once, as Python's scalars are.
struct Step {
  float decay;      // 1 - lr * weight_decay
  float clip;       // factor of the gradient
  float mean_rate;  // 1 - beta1
  float beta2, square_rate;
  float denominator_scale;  // sqrt(1 - beta2^t)
  float eps;
  float step_size;  // lr / (1 - beta1^t)
};

template <bool kShadow>
LORIKEET_CLONES void update(const Step& step, const float* g, float* p, float* m, float* v, bf16* shadow, int64_t n) {
  const Step s = step;
  // torch.lerp starts from the nearer end
  const bool near = s.mean_rate < 0.5f;
  const float rate = near ? s.mean_rate : s.mean_rate - 1.0f;
#pragma omp simd
  for (int64_t i = 0; i < n; i++) {
    const float gradient = g[i] * s.clip;
    const float mean = (near ? m[i] : gradient) + rate * (gradient - m[i]);
    const float square = v[i] * s.beta2 + s.square_rate * gradient * gradient;
    const float denominator = std::sqrt(square) / s.denominator_scale + s.eps;
    const float parameter = p[i] * s.decay - s.step_size * mean / denominator;
    m[i] = mean;
    v[i] = square;
    p[i] = parameter;
    if (kShadow) shadow[i] = to_bf16(parameter);
  }
}

std::unique_ptr<Kernel> make_adamw(const KernelRequest& request) {
  AdamwStep adamw = read_adamw(request, kElementGrain);
  return kernel_from([adamw = std::move(adamw), has_shadow = request.has_output(3)](const Operands& operands) {
    const float norm = *operands.inputs[4].as<const float>();
    if (!std::isfinite(norm)) return;
    const float clip = adamw.max_norm > 0 ? std::min(1.0f, static_cast<float>(adamw.max_norm) / (norm + 1e-6f)) : 1.0f;
    const float* scalars = operands.inputs[5].as<const float>();
    const float* g = operands.inputs[1].as<const float>();
    float* p = operands.outputs[0].as<float>();
    float* m = operands.outputs[1].as<float>();
    float* v = operands.outputs[2].as<float>();
    bf16* shadow = has_shadow ? operands.outputs[3].as<bf16>() : nullptr;
    parallel_for(static_cast<int64_t>(adamw.pieces.size()), 1, [&](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; i++) {
        const AdamwStep::Piece& piece = adamw.pieces[i];
        const double lr = scalars[2 + piece.group];
        Step step;
        step.decay = static_cast<float>(1.0 - lr * piece.weight_decay);
        step.clip = clip;
        step.mean_rate = static_cast<float>(1.0 - adamw.beta1);
        step.beta2 = static_cast<float>(adamw.beta2);
        step.square_rate = static_cast<float>(1.0 - adamw.beta2);
        step.denominator_scale = static_cast<float>(std::sqrt(static_cast<double>(scalars[1])));
        step.eps = static_cast<float>(adamw.eps);
        step.step_size = static_cast<float>(lr / scalars[0]);
        const int64_t at = piece.start;
        if (shadow) {
          update<true>(step, g + at, p + at, m + at, v + at, shadow + at, piece.count);
        } else {
          update<false>(step, g + at, p + at, m + at, v + at, nullptr, piece.count);
        }
      }
    });
  });
}

LORIKEET_REGISTER_CPU_KERNEL("adamw", make_adamw);

}  // namespace
}  // namespace lorikeet::cpu
