// modulate: y = x (1 + scale) + shift, and gate: y = x + gate z, with scale, shift and gate of each sample for all of
// its rows; y may be the bytes of x or z.
#include "../../core/ops/modulate.h"
#include "../elementwise.h"

namespace lorikeet::cpu {
namespace {

template <typename T>
LORIKEET_CLONES void modulate_row(const T* x, const T* scale, const T* shift, T* y, int64_t n) {
#pragma omp simd
  for (int64_t i = 0; i < n; i++) y[i] = from_f32<T>(to_f32(x[i]) * (1.0f + to_f32(scale[i])) + to_f32(shift[i]));
}

template <typename T>
LORIKEET_CLONES void gate_row(const T* x, const T* z, const T* gate, T* y, int64_t n) {
#pragma omp simd
  for (int64_t i = 0; i < n; i++) y[i] = from_f32<T>(to_f32(x[i]) + to_f32(gate[i]) * to_f32(z[i]));
}

// body(row, sample) for all rows
template <typename Body>
void for_rows(const PerSample& op, const Body& body) {
  parallel_for(op.samples * op.rows, row_grain(op.columns), [&](int64_t begin, int64_t end) {
    for (int64_t row = begin; row < end; row++) body(row, row / op.rows);
  });
}

std::unique_ptr<Kernel> make_modulate(const KernelRequest& request) {
  const PerSample op = read_modulate(request);
  return by_dtype(op.dtype, [op](auto zero) {
    using T = decltype(zero);
    return kernel_from([op](const Operands& operands) {
      const T* x = operands.inputs[0].as<const T>();
      const T* scale = operands.inputs[1].as<const T>();
      const T* shift = operands.inputs[2].as<const T>();
      T* y = operands.outputs[0].as<T>();
      for_rows(op, [=, columns = op.columns](int64_t row, int64_t sample) {
        modulate_row(x + row * columns, scale + sample * columns, shift + sample * columns, y + row * columns, columns);
      });
    });
  });
}

std::unique_ptr<Kernel> make_gate(const KernelRequest& request) {
  const PerSample op = read_gate(request);
  return by_dtype(op.dtype, [op](auto zero) {
    using T = decltype(zero);
    return kernel_from([op](const Operands& operands) {
      const T* x = operands.inputs[0].as<const T>();
      const T* z = operands.inputs[1].as<const T>();
      const T* gate = operands.inputs[2].as<const T>();
      T* y = operands.outputs[0].as<T>();
      for_rows(op, [=, columns = op.columns](int64_t row, int64_t sample) {
        gate_row(x + row * columns, z + row * columns, gate + sample * columns, y + row * columns, columns);
      });
    });
  });
}

LORIKEET_REGISTER_CPU_KERNEL("modulate", make_modulate);
LORIKEET_REGISTER_CPU_KERNEL("gate", make_gate);

}  // namespace
}  // namespace lorikeet::cpu
