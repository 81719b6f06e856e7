// cast: y = x in the dtype of y (f32, bf16), rounded to nearest even.
#include "../../core/ops/elementwise.h"
#include "../elementwise.h"

namespace lorikeet::cpu {
namespace {

template <typename From, typename To>
LORIKEET_CLONES void apply(const From* x, To* y, int64_t n) {
#pragma omp simd
  for (int64_t i = 0; i < n; i++) y[i] = from_f32<To>(to_f32(x[i]));
}

std::unique_ptr<Kernel> make_cast(const KernelRequest& request) {
  check_cast(request);
  const TensorSpec& x = request.inputs[0];
  const TensorSpec& y = request.outputs[0];

  const int64_t n = elements_of(x.shape);
  return by_dtype(x.dtype, [&](auto from_zero) {
    return by_dtype(y.dtype, [n](auto to_zero) {
      using From = decltype(from_zero);
      using To = decltype(to_zero);
      return kernel_from([n](const Operands& operands) {
        const From* x = operands.inputs[0].as<const From>();
        To* y = operands.outputs[0].as<To>();
        parallel_for(n, kElementGrain, [=](int64_t begin, int64_t end) { apply(x + begin, y + begin, end - begin); });
      });
    });
  });
}

LORIKEET_REGISTER_CPU_KERNEL("cast", make_cast);

}  // namespace
}  // namespace lorikeet::cpu
