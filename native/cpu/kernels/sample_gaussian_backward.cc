// sample_gaussian_backward: dmean = dz, dlogvar = dz * eps * exp(logvar / 2) / 2 (0 where the log variance is clamped).
#include "../../core/ops/gaussian.h"

#include "../elementwise.h"

namespace lorikeet::cpu {
namespace {

template <typename T>
LORIKEET_CLONES void apply(const T* dz, const T* moments, const float* eps, T* dmoments, int64_t rows,
                           int64_t channels) {
  for (int64_t row = 0; row < rows; row++) {
    const T* logvar = moments + (row * 2 + 1) * channels;
    T* dmean = dmoments + row * 2 * channels;
    T* dlogvar = dmean + channels;
#pragma omp simd
    for (int64_t c = 0; c < channels; c++) {
      const float raw = to_f32(logvar[c]), d = to_f32(dz[row * channels + c]);
      const float deviation = exp_f32(0.5f * clamp_logvar(raw));
      dmean[c] = from_f32<T>(d);
      dlogvar[c] = from_f32<T>(clamp_slope(raw) * 0.5f * deviation * eps[row * channels + c] * d);
    }
  }
}

std::unique_ptr<Kernel> make_sample_gaussian_backward(const KernelRequest& request) {
  const int64_t channels = read_sample_gaussian_backward(request);
  const TensorSpec& moments = request.inputs[1];

  return by_dtype(moments.dtype, [=, rows = rows_of(moments)](auto zero) {
    using T = decltype(zero);
    return kernel_from([=](const Operands& operands) {
      const T* dz = operands.inputs[0].as<const T>();
      const T* moments = operands.inputs[1].as<const T>();
      const float* eps = operands.inputs[2].as<const float>();
      T* dmoments = operands.outputs[0].as<T>();
      parallel_for(rows, row_grain(channels), [=](int64_t begin, int64_t end) {
        apply(dz + begin * channels, moments + begin * 2 * channels, eps + begin * channels,
              dmoments + begin * 2 * channels, end - begin, channels);
      });
    });
  });
}

LORIKEET_REGISTER_CPU_KERNEL("sample_gaussian_backward", make_sample_gaussian_backward);

}  // namespace
}  // namespace lorikeet::cpu
