// add: y = a + b, elementwise; y may be the bytes of a or of b.
#include "../../core/ops/elementwise.h"
#include "../elementwise.h"

namespace lorikeet::cpu {
namespace {

template <typename T>
LORIKEET_CLONES void apply(const T* a, const T* b, T* y, int64_t n) {
#pragma omp simd
  for (int64_t i = 0; i < n; i++) y[i] = from_f32<T>(to_f32(a[i]) + to_f32(b[i]));
}

std::unique_ptr<Kernel> make_add(const KernelRequest& request) {
  check_add(request);
  const TensorSpec& a = request.inputs[0];

  const int64_t n = elements_of(a.shape);
  return by_dtype(a.dtype, [n](auto zero) {
    using T = decltype(zero);
    return kernel_from([n](const Operands& operands) {
      const T* a = operands.inputs[0].as<const T>();
      const T* b = operands.inputs[1].as<const T>();
      T* y = operands.outputs[0].as<T>();
      parallel_for(n, kElementGrain, [=](int64_t begin, int64_t end) {
        apply(a + begin, b + begin, y + begin, end - begin);
      });
    });
  });
}

LORIKEET_REGISTER_CPU_KERNEL("add", make_add);

}  // namespace
}  // namespace lorikeet::cpu
