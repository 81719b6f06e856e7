// rotary_embedding: columns 2i and 2i + 1 of each head are turned by the angle of their token and of i:
// (a, b) -> (a cos - b sin, b cos + a sin), backwards with -sin. y may be the bytes of x.
#include "../../core/ops/rotary_embedding.h"
#include "../elementwise.h"

namespace lorikeet::cpu {
namespace {

template <typename T>
LORIKEET_CLONES void turn(const T* x, const float* cos, const float* sin, float sign, T* y, int64_t pairs) {
#pragma omp simd
  for (int64_t i = 0; i < pairs; i++) {
    const float a = to_f32(x[2 * i]), b = to_f32(x[2 * i + 1]), s = sign * sin[i];
    y[2 * i] = from_f32<T>(a * cos[i] - b * s);
    y[2 * i + 1] = from_f32<T>(b * cos[i] + a * s);
  }
}

std::unique_ptr<Kernel> make_rotary_embedding(const KernelRequest& request) {
  const RotaryEmbeddingOp op = read_rotary_embedding(request);
  return by_dtype(op.dtype, [op](auto zero) {
    using T = decltype(zero);
    return kernel_from([op](const Operands& operands) {
      const T* x = operands.inputs[0].as<const T>();
      const float* cos = operands.inputs[1].as<const float>();
      const float* sin = operands.inputs[2].as<const float>();
      T* y = operands.outputs[0].as<T>();
      const float sign = op.inverse ? -1.0f : 1.0f;
      parallel_for(op.samples * op.tokens, row_grain(op.columns), [=, &op](int64_t begin, int64_t end) {
        for (int64_t row = begin; row < end; row++) {
          const int64_t angles = row % op.tokens * op.pairs;
          for (int64_t at = row * op.columns; at < (row + 1) * op.columns; at += 2 * op.pairs) {
            turn(x + at, cos + angles, sin + angles, sign, y + at, op.pairs);
          }
        }
      });
    });
  });
}

LORIKEET_REGISTER_CPU_KERNEL("rotary_embedding", make_rotary_embedding);

}  // namespace
}  // namespace lorikeet::cpu
