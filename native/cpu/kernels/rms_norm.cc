// rms_norm: each row of x is divided by the root of the mean of its squares; y = x / sqrt(mean(x^2) + eps) * weight.
#include "../../core/ops/rms_norm.h"
#include "../elementwise.h"

#include <cmath>

namespace lorikeet::cpu {
namespace {

// stats: 1 / sqrt(mean + eps)
template <typename T>
LORIKEET_CLONES void normalise_rows(const T* x, int64_t rows, int64_t columns, const float* weight, double eps, T* y,
                                    float* stats) {
  for (int64_t r = 0; r < rows; r++, x += columns, y += columns) {
    float squares = 0;
#pragma omp simd reduction(+ : squares)
    for (int64_t c = 0; c < columns; c++) squares += to_f32(x[c]) * to_f32(x[c]);
    const float scale =
        static_cast<float>(1.0 / std::sqrt(static_cast<double>(squares) / static_cast<double>(columns) + eps));
#pragma omp simd
    for (int64_t c = 0; c < columns; c++) y[c] = from_f32<T>(to_f32(x[c]) * scale * weight[c]);
    stats[r] = scale;
  }
}

std::unique_ptr<Kernel> make_rms_norm(const KernelRequest& request) {
  const RmsNormOp op = read_rms_norm(request);
  const int64_t rows = op.rows, columns = op.columns;
  const double eps = op.eps;
  return by_dtype(op.dtype, [=](auto zero) {
    using T = decltype(zero);
    return kernel_from([=](const Operands& operands) {
      const T* x = operands.inputs[0].as<const T>();
      const float* weight = operands.inputs[1].as<const float>();
      T* y = operands.outputs[0].as<T>();
      float* stats = operands.outputs[1].as<float>();
      parallel_for(rows, row_grain(columns), [=](int64_t begin, int64_t end) {
        normalise_rows(x + begin * columns, end - begin, columns, weight, eps, y + begin * columns, stats + begin);
      });
    });
  });
}

LORIKEET_REGISTER_CPU_KERNEL("rms_norm", make_rms_norm);

}  // namespace
}  // namespace lorikeet::cpu
