// adamw: one step of AdamW (Loshchilov and Hutter, arXiv 1711.05101) over the trainable parameters, in place. The bf16
// shadow that the matmuls read is written in the same pass. When the norm is not finite nothing changes.
#include "adamw.h"

namespace lorikeet::cpu {
namespace {

template <bool kShadow>
LORIKEET_CLONES void update(const AdamwFactors& factors, const float* g, float* p, float* m, float* v, bf16* shadow,
                            int64_t n) {
  const AdamwFactors s = factors;
#pragma omp simd
  for (int64_t i = 0; i < n; i++) {
    const float gradient = g[i] * s.clip;
    const float mean = (s.near ? m[i] : gradient) + s.rate * (gradient - m[i]);
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
    const float* scalars = operands.inputs[5].as<const float>();
    const float* g = operands.inputs[1].as<const float>();
    float* p = operands.outputs[0].as<float>();
    float* m = operands.outputs[1].as<float>();
    float* v = operands.outputs[2].as<float>();
    bf16* shadow = has_shadow ? operands.outputs[3].as<bf16>() : nullptr;
    parallel_for(static_cast<int64_t>(adamw.pieces.size()), 1, [&](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; i++) {
        const AdamwStep::Piece& piece = adamw.pieces[i];
        const AdamwFactors factors = adamw_factors(adamw.options, piece.group, piece.weight_decay, scalars, norm);
        const int64_t at = piece.start, state = piece.state;
        if (shadow) {
          update<true>(factors, g + at, p + at, m + state, v + state, shadow + at, piece.count);
        } else {
          update<false>(factors, g + at, p + at, m + state, v + state, nullptr, piece.count);
        }
      }
    });
  });
}

LORIKEET_REGISTER_CPU_KERNEL("adamw", make_adamw);

}  // namespace
}  // namespace lorikeet::cpu
