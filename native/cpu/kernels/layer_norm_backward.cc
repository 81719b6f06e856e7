// layer_norm_backward, with ẑ = (x - mean) / std:
//
//   dbeta = Σ dy    dgamma = Σ dy ẑ    dx = (gamma dy - mean(gamma dy) - ẑ mean(gamma dy ẑ)) / std
//
// Σ runs over rows, the means over a row's columns; an absent gamma is 1. Sums are made in blocks of rows
// (row_blocks.h).
#include "../../core/ops/norms.h"
#include "row_blocks.h"

#include <vector>

namespace lorikeet::cpu {
namespace {

template <typename T>
LORIKEET_CLONES void input_gradient(const T* dy, const T* x, int64_t rows, int64_t columns, const float* gamma,
                                    const float* stats, T* dx) {
  for (int64_t r = 0; r < rows; r++, dy += columns, x += columns, dx += columns, stats += 2) {
    const float mean = stats[0], inverse_std = stats[1];
    float sum = 0, sum_z = 0;
#pragma omp simd reduction(+ : sum, sum_z)
    for (int64_t c = 0; c < columns; c++) {
      const float g = to_f32(dy[c]) * gamma[c];
      sum += g;
      sum_z += g * ((to_f32(x[c]) - mean) * inverse_std);
    }
    const float mean_g = sum / static_cast<float>(columns), mean_gz = sum_z / static_cast<float>(columns);
#pragma omp simd
    for (int64_t c = 0; c < columns; c++) {
      const float z = (to_f32(x[c]) - mean) * inverse_std;
      dx[c] = from_f32<T>((to_f32(dy[c]) * gamma[c] - mean_g - z * mean_gz) * inverse_std);
    }
  }
}

template <typename T>
LORIKEET_CLONES void sum_gradients(const T* dy, const T* x, int64_t rows, int64_t columns, const float* stats,
                                   float* dgamma, float* dbeta) {
  for (int64_t r = 0; r < rows; r++, dy += columns, x += columns, stats += 2) {
    const float mean = stats[0], inverse_std = stats[1];
#pragma omp simd
    for (int64_t c = 0; c < columns; c++) {
      dgamma[c] += to_f32(dy[c]) * ((to_f32(x[c]) - mean) * inverse_std);
      dbeta[c] += to_f32(dy[c]);
    }
  }
}

std::unique_ptr<Kernel> make_layer_norm_backward(const KernelRequest& request) {
  const LayerNormOp op = read_layer_norm_backward(request);
  const int64_t rows = op.rows, columns = op.columns;
  const int64_t block_rows = rows_of_block(rows, columns);
  const int64_t blocks = pieces_of(rows, block_rows);
  const bool wants_sums = op.outputs.dgamma || op.outputs.dbeta;
  const std::vector<float> ones(request.has_input(2) ? 0 : static_cast<size_t>(columns), 1.0f);
  if (wants_sums) request.scratch.reserve(blocks * 2 * columns * 4);
  Scratch* scratch = &request.scratch;
  return by_dtype(op.dtype, [=](auto zero) {
    using T = decltype(zero);
    return kernel_from([=](const Operands& operands) {
      const T* dy = operands.inputs[0].as<const T>();
      const T* x = operands.inputs[1].as<const T>();
      const float* gamma = ones.empty() ? operands.inputs[2].as<const float>() : ones.data();
      const float* stats = operands.inputs[3].as<const float>();
      T* dx = operands.outputs[0].as<T>();
      float* sums = static_cast<float*>(scratch->data());  // per block: of dgamma, of dbeta
      parallel_for(rows, block_rows, [=](int64_t begin, int64_t end) {
        // dx may take the place of dy, so the sums come first.
        if (wants_sums) {
          float* sum = sums + begin / block_rows * 2 * columns;
          std::fill(sum, sum + 2 * columns, 0.0f);
          sum_gradients(dy + begin * columns, x + begin * columns, end - begin, columns, stats + begin * 2, sum,
                        sum + columns);
        }
        if (dx) {
          input_gradient(dy + begin * columns, x + begin * columns, end - begin, columns, gamma, stats + begin * 2,
                         dx + begin * columns);
        }
      });
      for (size_t i = 1; i < operands.outputs.size(); i++) {
        float* gradient = operands.outputs[i].as<float>();
        if (!gradient) continue;
        for (int64_t block = 0; block < blocks; block++) {
          add_row(sums + (block * 2 + i - 1) * columns, gradient, columns);
        }
      }
    });
  });
}

LORIKEET_REGISTER_CPU_KERNEL("layer_norm_backward", make_layer_norm_backward);

}  // namespace
}  // namespace lorikeet::cpu
