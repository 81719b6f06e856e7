// activation_backward: dx = dy * f'(x), elementwise.
#include "../elementwise.h"
#include "activation.h"

namespace lorikeet::cpu {
namespace {

template <typename F, typename T>
LORIKEET_CLONES void apply(const T* dy, const T* x, T* dx, int64_t n) {
#pragma omp simd
  for (int64_t i = 0; i < n; i++) dx[i] = from_f32<T>(to_f32(dy[i]) * F::derivative(to_f32(x[i])));
}

std::unique_ptr<Kernel> make_activation_backward(const KernelRequest& request) {
  const ActivationOp op = read_activation_backward(request);
  return by_activation(op.kind, [&](auto function) {
    return by_dtype(op.dtype, [n = op.count](auto zero) {
      using F = decltype(function);
      using T = decltype(zero);
      return kernel_from([n](const Operands& operands) {
        const T* dy = operands.inputs[0].as<const T>();
        const T* x = operands.inputs[1].as<const T>();
        T* dx = operands.outputs[0].as<T>();
        parallel_for(n, kElementGrain, [=](int64_t begin, int64_t end) {
          apply<F>(dy + begin, x + begin, dx + begin, end - begin);
        });
      });
    });
  });
}

LORIKEET_REGISTER_CPU_KERNEL("activation_backward", make_activation_backward);

}  // namespace
}  // namespace lorikeet::cpu
