// embedding: y[n, l] = token[ids[n, l]] + position[l].
#include "../../core/ops/embedding.h"

#include "../elementwise.h"

namespace lorikeet::cpu {
namespace {

template <typename T>
LORIKEET_CLONES void add_row(const T* token, const T* position, T* y, int64_t n) {
#pragma omp simd
  for (int64_t i = 0; i < n; i++) y[i] = from_f32<T>(to_f32(token[i]) + to_f32(position[i]));
}

std::unique_ptr<Kernel> make_embedding(const KernelRequest& request) {
  const Embedding e = read_embedding(request);
  return by_dtype(e.dtype, [=](auto zero) {
    using T = decltype(zero);
    return kernel_from([=](const Operands& operands) {
      const int32_t* ids = operands.inputs[0].as<const int32_t>();
      const T* token = operands.inputs[1].as<const T>();
      const T* position = operands.inputs[2].as<const T>();
      T* y = operands.outputs[0].as<T>();
      expect_ids("embedding", e, ids);
      parallel_for(e.batch * e.length, row_grain(e.columns), [=](int64_t begin, int64_t end) {
        for (int64_t row = begin; row < end; row++) {
          add_row(token + ids[row] * e.columns, position + row % e.length * e.columns, y + row * e.columns,
                  e.columns);
        }
      });
    });
  });
}

LORIKEET_REGISTER_CPU_KERNEL("embedding", make_embedding);

}  // namespace
}  // namespace lorikeet::cpu
