// geglu_backward: dx[:, :F] = dy * gelu(gate), dx[:, F:] = dy * value * gelu'(gate), where x = [value | gate].
#include "../../core/ops/geglu.h"
#include "../elementwise.h"
#include "activation.h"

namespace lorikeet::cpu {
namespace {

template <typename T>
LORIKEET_CLONES void apply(const T* dy, const T* value, const T* gate, T* dvalue, T* dgate, int64_t n) {
#pragma omp simd
  for (int64_t i = 0; i < n; i++) {
    // dx may lie on x, so everything is read before anything is written.
    const float g = to_f32(gate[i]), v = to_f32(value[i]), d = to_f32(dy[i]);
    const Normal normal = normal_f32(g);
    dvalue[i] = from_f32<T>(d * (g * normal.cdf));
    dgate[i] = from_f32<T>(d * v * (normal.cdf + g * normal.density));
  }
}

std::unique_ptr<Kernel> make_geglu_backward(const KernelRequest& request) {
  const GegluOp op = read_geglu_backward(request);
  const int64_t rows = op.rows, columns = op.columns;
  return by_dtype(op.dtype, [=](auto zero) {
    using T = decltype(zero);
    return kernel_from([=](const Operands& operands) {
      const T* dy = operands.inputs[0].as<const T>();
      const T* x = operands.inputs[1].as<const T>();
      T* dx = operands.outputs[0].as<T>();
      parallel_for(rows, row_grain(columns), [=](int64_t begin, int64_t end) {
        for (int64_t row = begin; row < end; row++) {
          const T* from = x + row * 2 * columns;
          T* to = dx + row * 2 * columns;
          apply(dy + row * columns, from, from + columns, to, to + columns, columns);
        }
      });
    });
  });
}

LORIKEET_REGISTER_CPU_KERNEL("geglu_backward", make_geglu_backward);

}  // namespace
}  // namespace lorikeet::cpu
