// sample_gaussian: z = mean + exp(logvar / 2) * eps, with moments = [mean | logvar] in the columns.
#include "../../core/ops/gaussian.h"

#include "../elementwise.h"

namespace lorikeet::cpu {
namespace {

template <typename T>
LORIKEET_CLONES void apply(const T* moments, const float* eps, T* z, int64_t rows, int64_t channels) {
  for (int64_t row = 0; row < rows; row++) {
    const T* mean = moments + row * 2 * channels;
    const T* logvar = mean + channels;
#pragma omp simd
    for (int64_t c = 0; c < channels; c++) {
      const float deviation = exp_f32(0.5f * clamp_logvar(to_f32(logvar[c])));
      z[row * channels + c] = from_f32<T>(to_f32(mean[c]) + deviation * eps[row * channels + c]);
    }
  }
}

std::unique_ptr<Kernel> make_sample_gaussian(const KernelRequest& request) {
  const int64_t channels = read_sample_gaussian(request);
  const TensorSpec& moments = request.inputs[0];

  return by_dtype(moments.dtype, [=, rows = rows_of(moments)](auto zero) {
    using T = decltype(zero);
    return kernel_from([=](const Operands& operands) {
      const T* moments = operands.inputs[0].as<const T>();
      const float* eps = operands.inputs[1].as<const float>();
      T* z = operands.outputs[0].as<T>();
      parallel_for(rows, row_grain(channels), [=](int64_t begin, int64_t end) {
        apply(moments + begin * 2 * channels, eps + begin * channels, z + begin * channels, end - begin, channels);
      });
    });
  });
}

LORIKEET_REGISTER_CPU_KERNEL("sample_gaussian", make_sample_gaussian);

}  // namespace
}  // namespace lorikeet::cpu
