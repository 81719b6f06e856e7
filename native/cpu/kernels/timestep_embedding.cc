// timestep_embedding: y[n] = [sin | cos] or [cos | sin] of t[n] * f_i with f_i = exp(-ln(max_period) i/(C/2 - shift)),
// the sinusoidal embedding of diffusion models.
// The angle is rounded to f32 where PyTorch rounds it: at t = 999 that rounding changes the sine by up to 3e-5, and
// models were trained with it. Only the functions themselves are evaluated in f64.
#include "../../core/ops/timestep_embedding.h"

#include <cmath>

#include "../elementwise.h"

namespace lorikeet::cpu {
namespace {

std::unique_ptr<Kernel> make_timestep_embedding(const KernelRequest& request) {
  TimestepEmbedding embedding = read_timestep_embedding(request);
  return by_dtype(request.outputs[0].dtype, [&](auto zero) {
    using T = decltype(zero);
    return kernel_from([e = std::move(embedding)](const Operands& operands) {
      const float* t = operands.inputs[0].as<const float>();
      T* y = operands.outputs[0].as<T>();
      for (int64_t n = 0; n < e.batch; n++) {
        T* sines = y + n * 2 * e.half + (e.cos_first ? e.half : 0);
        T* cosines = y + n * 2 * e.half + (e.cos_first ? 0 : e.half);
        for (int64_t i = 0; i < e.half; i++) {
          const float angle = t[n] * e.frequencies[i];
          sines[i] = from_f32<T>(static_cast<float>(std::sin(static_cast<double>(angle))));
          cosines[i] = from_f32<T>(static_cast<float>(std::cos(static_cast<double>(angle))));
        }
      }
    });
  });
}

LORIKEET_REGISTER_CPU_KERNEL("timestep_embedding", make_timestep_embedding);

}  // namespace
}  // namespace lorikeet::cpu
