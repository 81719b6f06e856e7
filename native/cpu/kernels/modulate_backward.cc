// modulate_backward and gate_backward:
//
//   dx = dy (plus + scale)    dscale = Σ dy x    dshift = Σ dy
//
// Σ runs over the rows of a sample, in f32 in parts of a fixed size, then over the parts in f64, so the sums do not
// depend on the threads. For gate, x is z, scale is gate, and plus is 0 instead of 1.
#include "../../core/ops/modulate.h"
#include "../elementwise.h"

namespace lorikeet::cpu {
namespace {

constexpr int64_t kRowsPerPart = 128;

template <typename T>
LORIKEET_CLONES void input_gradient(const T* dy, const T* scale, float plus, T* dx, int64_t n) {
#pragma omp simd
  for (int64_t i = 0; i < n; i++) dx[i] = from_f32<T>(to_f32(dy[i]) * (plus + to_f32(scale[i])));
}

template <typename T>
LORIKEET_CLONES void add_products(const T* dy, const T* x, float* sum, int64_t n) {
#pragma omp simd
  for (int64_t i = 0; i < n; i++) sum[i] += to_f32(dy[i]) * to_f32(x[i]);
}

template <typename T>
LORIKEET_CLONES void add_values(const T* dy, float* sum, int64_t n) {
#pragma omp simd
  for (int64_t i = 0; i < n; i++) sum[i] += to_f32(dy[i]);
}

// sums [samples, parts, columns] -> totals [samples, columns]
template <typename T>
void add_parts(const float* sums, const PerSample& op, int64_t parts, T* totals) {
  parallel_for(op.samples * op.columns, 512, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; i++) {
      const float* column = sums + i / op.columns * parts * op.columns + i % op.columns;
      double total = 0;
      for (int64_t part = 0; part < parts; part++) total += column[part * op.columns];
      totals[i] = from_f32<T>(static_cast<float>(total));
    }
  });
}

std::unique_ptr<Kernel> kernel_for(const KernelRequest& request, const ModulateBackwardOp& op) {
  const int64_t parts = pieces_of(op.rows, kRowsPerPart), size = op.samples * parts * op.columns;
  request.scratch.reserve((op.dscale + op.dshift) * size * 4);
  return by_dtype(op.dtype, [=, scratch = &request.scratch](auto zero) {
    using T = decltype(zero);
    return kernel_from([=](const Operands& operands) {
      const T* dy = operands.inputs[0].as<const T>();
      const T* x = operands.inputs[1].as<const T>();
      const T* scale = operands.inputs[2].as<const T>();
      T* dx = op.dx ? operands.outputs[0].as<T>() : nullptr;
      float* products = op.dscale ? static_cast<float*>(scratch->data()) : nullptr;
      float* values = op.dshift ? static_cast<float*>(scratch->data()) + op.dscale * size : nullptr;
      parallel_for(op.samples * parts, 1, [=, &op](int64_t begin, int64_t end) {
        const int64_t n = op.columns;
        for (int64_t i = begin; i < end; i++) {
          const int64_t sample = i / parts, first = i % parts * kRowsPerPart;
          const int64_t last = std::min(first + kRowsPerPart, op.rows);
          if (products) std::fill(products + i * n, products + (i + 1) * n, 0.0f);
          if (values) std::fill(values + i * n, values + (i + 1) * n, 0.0f);
          for (int64_t row = sample * op.rows + first; row < sample * op.rows + last; row++) {
            if (products) add_products(dy + row * n, x + row * n, products + i * n, n);
            if (values) add_values(dy + row * n, values + i * n, n);
            if (dx) input_gradient(dy + row * n, scale + sample * n, op.plus, dx + row * n, n);  // may be dy
          }
        }
      });
      if (op.dscale) add_parts(products, op, parts, operands.outputs[1].as<T>());
      if (op.dshift) add_parts(values, op, parts, operands.outputs[2].as<T>());
    });
  });
}

std::unique_ptr<Kernel> make_modulate_backward(const KernelRequest& request) {
  return kernel_for(request, read_modulate_backward(request));
}

std::unique_ptr<Kernel> make_gate_backward(const KernelRequest& request) {
  return kernel_for(request, read_gate_backward(request));
}

LORIKEET_REGISTER_CPU_KERNEL("modulate_backward", make_modulate_backward);
LORIKEET_REGISTER_CPU_KERNEL("gate_backward", make_gate_backward);

}  // namespace
}  // namespace lorikeet::cpu
