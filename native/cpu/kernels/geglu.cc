// geglu: x[.., 2F] -> y[.., F], y = x[:, :F] * gelu(x[:, F:]) with the exact GELU.
#include "../../core/ops/geglu.h"
#include "../elementwise.h"
#include "activation.h"

namespace lorikeet::cpu {
namespace {

template <typename T>
LORIKEET_CLONES void apply(const T* value, const T* gate, T* y, int64_t n) {
#pragma omp simd
  for (int64_t i = 0; i < n; i++) y[i] = from_f32<T>(to_f32(value[i]) * Gelu::value(to_f32(gate[i])));
}

std::unique_ptr<Kernel> make_geglu(const KernelRequest& request) {
  const GegluOp op = read_geglu(request);
  const int64_t rows = op.rows, columns = op.columns;
  return by_dtype(op.dtype, [=](auto zero) {
    using T = decltype(zero);
    return kernel_from([=](const Operands& operands) {
      const T* x = operands.inputs[0].as<const T>();
      T* y = operands.outputs[0].as<T>();
      parallel_for(rows, row_grain(columns), [=](int64_t begin, int64_t end) {
        for (int64_t row = begin; row < end; row++) {
          const T* from = x + row * 2 * columns;
          apply(from, from + columns, y + row * columns, columns);
        }
      });
    });
  });
}

LORIKEET_REGISTER_CPU_KERNEL("geglu", make_geglu);

}  // namespace
}  // namespace lorikeet::cpu
