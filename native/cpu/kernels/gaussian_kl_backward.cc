// gaussian_kl_backward: scale * d total / d moments: dmean = f * mean, dlogvar = f * (exp(logvar) - 1) / 2 (0 where the
// log variance is clamped), f = scale / elements of z.
#include "../../core/ops/gaussian.h"

#include "../elementwise.h"

namespace lorikeet::cpu {
namespace {

template <typename T>
LORIKEET_CLONES void apply(const T* moments, float factor, T* dmoments, int64_t rows, int64_t channels) {
  for (int64_t row = 0; row < rows; row++) {
    const T* mean = moments + row * 2 * channels;
    const T* logvar = mean + channels;
    T* dmean = dmoments + row * 2 * channels;
    T* dlogvar = dmean + channels;
#pragma omp simd
    for (int64_t c = 0; c < channels; c++) {
      const float raw = to_f32(logvar[c]);
      dmean[c] = from_f32<T>(factor * to_f32(mean[c]));
      dlogvar[c] = from_f32<T>(clamp_slope(raw) * 0.5f * factor * (exp_f32(clamp_logvar(raw)) - 1.0f));
    }
  }
}

std::unique_ptr<Kernel> make_gaussian_kl_backward(const KernelRequest& request) {
  const int64_t channels = read_gaussian_kl_backward(request);
  const TensorSpec& moments = request.inputs[0];
  const int64_t rows = rows_of(moments);
  const float factor = static_cast<float>(request.instruction.number("scale") / static_cast<double>(rows * channels));

  return by_dtype(moments.dtype, [=](auto zero) {
    using T = decltype(zero);
    return kernel_from([=](const Operands& operands) {
      const T* moments = operands.inputs[0].as<const T>();
      T* dmoments = operands.outputs[0].as<T>();
      parallel_for(rows, row_grain(2 * channels), [=](int64_t begin, int64_t end) {
        apply(moments + begin * 2 * channels, factor, dmoments + begin * 2 * channels, end - begin, channels);
      });
    });
  });
}

LORIKEET_REGISTER_CPU_KERNEL("gaussian_kl_backward", make_gaussian_kl_backward);

}  // namespace
}  // namespace lorikeet::cpu
