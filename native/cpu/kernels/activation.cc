// activation: y = f(x), elementwise.
#include "activation.h"

#include "../elementwise.h"

namespace lorikeet::cpu {
namespace {

template <typename F, typename T>
LORIKEET_CLONES void apply(const T* x, T* y, int64_t n) {
#pragma omp simd
  for (int64_t i = 0; i < n; i++) y[i] = from_f32<T>(F::value(to_f32(x[i])));
}

std::unique_ptr<Kernel> make_activation(const KernelRequest& request) {
  const ActivationOp op = read_activation(request);
  return by_activation(op.kind, [&](auto function) {
    return by_dtype(op.dtype, [n = op.count](auto zero) {
      using F = decltype(function);
      using T = decltype(zero);
      return kernel_from([n](const Operands& operands) {
        const T* x = operands.inputs[0].as<const T>();
        T* y = operands.outputs[0].as<T>();
        parallel_for(n, kElementGrain, [=](int64_t begin, int64_t end) {
          apply<F>(x + begin, y + begin, end - begin);
        });
      });
    });
  });
}

LORIKEET_REGISTER_CPU_KERNEL("activation", make_activation);

}  // namespace
}  // namespace lorikeet::cpu
