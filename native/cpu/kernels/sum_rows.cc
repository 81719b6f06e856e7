// sum_rows: the rows of x[.., C] in G equal consecutive groups, each summed: y[G, C], or [C] added to an f32 buffer
// (G = 1). Rows are summed in f32 in parts of a fixed size, the parts in f64, so the result does not depend on the
// threads.
#include "../../core/ops/sum_rows.h"
#include "../elementwise.h"

namespace lorikeet::cpu {
namespace {

constexpr int64_t kRowsPerPart = 128;

template <typename T>
LORIKEET_CLONES void sum_part(const T* x, int64_t rows, int64_t columns, float* sum) {
  std::fill(sum, sum + columns, 0.0f);
  for (int64_t row = 0; row < rows; row++) {
    const T* from = x + row * columns;
#pragma omp simd
    for (int64_t c = 0; c < columns; c++) sum[c] += to_f32(from[c]);
  }
}

std::unique_ptr<Kernel> make_sum_rows(const KernelRequest& request) {
  const SumRowsOp op = read_sum_rows(request);
  const int64_t groups = op.groups, rows = op.rows, columns = op.columns, parts = pieces_of(rows, kRowsPerPart);
  const bool accumulate = op.add;
  request.scratch.reserve(groups * parts * columns * sizeof(float));
  return by_dtype(request.inputs[0].dtype, [&](auto x_zero) {
    return by_dtype(request.outputs[0].dtype, [&](auto y_zero) {
      using T = decltype(x_zero);
      using Y = decltype(y_zero);
      return kernel_from([=, scratch = &request.scratch](const Operands& operands) {
        const T* x = operands.inputs[0].as<const T>();
        Y* y = operands.outputs[0].as<Y>();
        float* sum = static_cast<float*>(scratch->data());
        parallel_for(groups * parts, 1, [=](int64_t begin, int64_t end) {
          for (int64_t i = begin; i < end; i++) {
            const int64_t first = i % parts * kRowsPerPart;
            sum_part(x + (i / parts * rows + first) * columns, std::min(kRowsPerPart, rows - first), columns,
                     sum + i * columns);
          }
        });
        parallel_for(groups * columns, 512, [=](int64_t begin, int64_t end) {
          for (int64_t i = begin; i < end; i++) {
            const float* column = sum + i / columns * parts * columns + i % columns;
            double total = accumulate ? to_f32(y[i]) : 0.0f;
            for (int64_t part = 0; part < parts; part++) total += column[part * columns];
            y[i] = from_f32<Y>(static_cast<float>(total));
          }
        });
      });
    });
  });
}

LORIKEET_REGISTER_CPU_KERNEL("sum_rows", make_sum_rows);

}  // namespace
}  // namespace lorikeet::cpu
