// layer_norm: each row of x is normalised over its columns; y = (x - mean) / std * gamma + beta, where an absent gamma
// is 1 and an absent beta 0.
#include "../../core/ops/norms.h"
#include "../elementwise.h"

#include <cmath>
#include <vector>

namespace lorikeet::cpu {
namespace {

// Mean first, then squared distances from it: a row is in the cache. stats: mean, 1 / std.
template <typename T>
LORIKEET_CLONES void normalise_rows(const T* x, int64_t rows, int64_t columns, const float* gamma, const float* beta,
                                    double eps, T* y, float* stats) {
  for (int64_t r = 0; r < rows; r++, x += columns, y += columns, stats += 2) {
    float sum = 0, squares = 0;
#pragma omp simd reduction(+ : sum)
    for (int64_t c = 0; c < columns; c++) sum += to_f32(x[c]);
    const float mean = static_cast<float>(static_cast<double>(sum) / static_cast<double>(columns));
#pragma omp simd reduction(+ : squares)
    for (int64_t c = 0; c < columns; c++) squares += (to_f32(x[c]) - mean) * (to_f32(x[c]) - mean);
    const float inverse_std =
        static_cast<float>(1.0 / std::sqrt(static_cast<double>(squares) / static_cast<double>(columns) + eps));
#pragma omp simd
    for (int64_t c = 0; c < columns; c++) y[c] = from_f32<T>((to_f32(x[c]) - mean) * inverse_std * gamma[c] + beta[c]);
    stats[0] = mean;
    stats[1] = inverse_std;
  }
}

std::unique_ptr<Kernel> make_layer_norm(const KernelRequest& request) {
  const LayerNormOp op = read_layer_norm(request);
  const int64_t rows = op.rows, columns = op.columns;
  const double eps = op.eps;
  const size_t parameters = static_cast<size_t>(columns);
  const std::vector<float> ones(request.has_input(1) ? 0 : parameters, 1.0f);
  const std::vector<float> zeros(request.has_input(2) ? 0 : parameters, 0.0f);
  return by_dtype(op.dtype, [=](auto zero) {
    using T = decltype(zero);
    return kernel_from([=](const Operands& operands) {
      const T* x = operands.inputs[0].as<const T>();
      const float* gamma = ones.empty() ? operands.inputs[1].as<const float>() : ones.data();
      const float* beta = zeros.empty() ? operands.inputs[2].as<const float>() : zeros.data();
      T* y = operands.outputs[0].as<T>();
      float* stats = operands.outputs[1].as<float>();
      parallel_for(rows, row_grain(columns), [=](int64_t begin, int64_t end) {
        normalise_rows(x + begin * columns, end - begin, columns, gamma, beta, eps, y + begin * columns,
                       stats + begin * 2);
      });
    });
  });
}

LORIKEET_REGISTER_CPU_KERNEL("layer_norm", make_layer_norm);

}  // namespace
}  // namespace lorikeet::cpu
