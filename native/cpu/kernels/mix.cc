// mix: y = ca[n] * a + cb[n] * b per sample n. Noising, v targets and flow matching are all of this form.
#include "../../core/ops/elementwise.h"
#include "../elementwise.h"

namespace lorikeet::cpu {
namespace {

template <typename T>
LORIKEET_CLONES void apply(const float* a, const float* b, float ca, float cb, T* y, int64_t n) {
#pragma omp simd
  for (int64_t i = 0; i < n; i++) y[i] = from_f32<T>(ca * a[i] + cb * b[i]);
}

std::unique_ptr<Kernel> make_mix(const KernelRequest& request) {
  check_mix(request);
  const TensorSpec& a = request.inputs[0];
  const TensorSpec& y = request.outputs[0];
  const int64_t batch = a.shape[0];

  const int64_t columns = batch == 0 ? 0 : elements_of(a.shape) / batch;
  return by_dtype(y.dtype, [=](auto zero) {
    using T = decltype(zero);
    return kernel_from([=](const Operands& operands) {
      const float* a = operands.inputs[0].as<const float>();
      const float* b = operands.inputs[1].as<const float>();
      const float* ca = operands.inputs[2].as<const float>();
      const float* cb = operands.inputs[3].as<const float>();
      T* y = operands.outputs[0].as<T>();
      for (int64_t n = 0; n < batch; n++) {
        parallel_for(columns, kElementGrain, [=](int64_t begin, int64_t end) {
          const int64_t at = n * columns + begin;
          apply(a + at, b + at, ca[n], cb[n], y + at, end - begin);
        });
      }
    });
  });
}

LORIKEET_REGISTER_CPU_KERNEL("mix", make_mix);

}  // namespace
}  // namespace lorikeet::cpu
