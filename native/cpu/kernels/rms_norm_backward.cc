// rms_norm_backward, with z = x s and s = 1 / sqrt(mean(x^2) + eps):
//
//   dweight = Σ dy z    dx = (weight dy - z mean(weight dy z)) s
//
// Σ runs over rows, the mean over a row's columns. Sums are made in blocks of rows
// (row_blocks.h).
#include "../../core/ops/rms_norm.h"
#include "row_blocks.h"

namespace lorikeet::cpu {
namespace {

template <typename T>
LORIKEET_CLONES void input_gradient(const T* dy, const T* x, int64_t rows, int64_t columns, const float* weight,
                                    const float* stats, T* dx) {
  for (int64_t r = 0; r < rows; r++, dy += columns, x += columns, dx += columns) {
    const float scale = stats[r];
    float sum = 0;
#pragma omp simd reduction(+ : sum)
    for (int64_t c = 0; c < columns; c++) sum += to_f32(dy[c]) * weight[c] * (to_f32(x[c]) * scale);
    const float mean = sum / static_cast<float>(columns);
#pragma omp simd
    for (int64_t c = 0; c < columns; c++) {
      dx[c] = from_f32<T>((to_f32(dy[c]) * weight[c] - to_f32(x[c]) * scale * mean) * scale);
    }
  }
}

template <typename T>
LORIKEET_CLONES void sum_gradients(const T* dy, const T* x, int64_t rows, int64_t columns, const float* stats,
                                   float* dweight) {
  for (int64_t r = 0; r < rows; r++, dy += columns, x += columns) {
    const float scale = stats[r];
#pragma omp simd
    for (int64_t c = 0; c < columns; c++) dweight[c] += to_f32(dy[c]) * (to_f32(x[c]) * scale);
  }
}

std::unique_ptr<Kernel> make_rms_norm_backward(const KernelRequest& request) {
  const RmsNormOp op = read_rms_norm_backward(request);
  const int64_t rows = op.rows, columns = op.columns;
  const int64_t block_rows = rows_of_block(rows, columns);
  const int64_t blocks = pieces_of(rows, block_rows);
  if (op.dweight) request.scratch.reserve(blocks * columns * 4);
  Scratch* scratch = &request.scratch;
  return by_dtype(op.dtype, [=](auto zero) {
    using T = decltype(zero);
    return kernel_from([=](const Operands& operands) {
      const T* dy = operands.inputs[0].as<const T>();
      const T* x = operands.inputs[1].as<const T>();
      const float* weight = operands.inputs[2].as<const float>();
      const float* stats = operands.inputs[3].as<const float>();
      T* dx = op.dx ? operands.outputs[0].as<T>() : nullptr;
      float* dweight = op.dweight ? operands.outputs[1].as<float>() : nullptr;
      float* sums = static_cast<float*>(scratch->data());  // per block
      parallel_for(rows, block_rows, [=](int64_t begin, int64_t end) {
        const int64_t at = begin * columns, count = end - begin;
        if (dweight) {  // first, since dx may take the place of dy
          float* sum = sums + begin / block_rows * columns;
          std::fill(sum, sum + columns, 0.0f);
          sum_gradients(dy + at, x + at, count, columns, stats + begin, sum);
        }
        if (dx) input_gradient(dy + at, x + at, count, columns, weight, stats + begin, dx + at);
      });
      for (int64_t block = 0; dweight && block < blocks; block++) add_row(sums + block * columns, dweight, columns);
    });
  });
}

LORIKEET_REGISTER_CPU_KERNEL("rms_norm_backward", make_rms_norm_backward);

}  // namespace
}  // namespace lorikeet::cpu
