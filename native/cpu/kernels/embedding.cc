// embedding: y[n, l] = token[ids[n, l]] + position[l].
#include "embedding.h"

#include "../elementwise.h"

namespace lorikeet::cpu {
namespace {

template <typename T>
LORIKEET_CLONES void add_row(const T* token, const T* position, T* y, int64_t n) {
#pragma omp simd
  for (int64_t i = 0; i < n; i++) y[i] = from_f32<T>(to_f32(token[i]) + to_f32(position[i]));
}

std::unique_ptr<Kernel> make_embedding(const KernelRequest& request) {
  expect_operands(request, {"ids", "token", "position"}, {"y"});
  const TensorSpec& ids = request.inputs[0];
  const TensorSpec& token = request.inputs[1];
  const TensorSpec& position = request.inputs[2];
  const TensorSpec& y = request.outputs[0];
  expect_dtype(request, "ids", ids, {DType::i32});
  expect_compute_dtype(request, "token", token);
  expect_dtype(request, "position", position, {token.dtype});
  expect_dtype(request, "y", y, {token.dtype});
  require(ids.shape.size() == 2 && token.shape.size() == 2, "embedding: ids ", to_string(ids.shape), " and token ",
          to_string(token.shape), " must be [N, L] and [V, C]");
  const int64_t batch = ids.shape[0], length = ids.shape[1], vocabulary = token.shape[0], columns = token.shape[1];
  expect_shape(request, "position", position, {rows_of(position), columns}, "token", token);
  require(length <= rows_of(position), "embedding: ids ", to_string(ids.shape), " are longer than position ",
          to_string(position.shape));
  expect_shape(request, "y", y, {batch, length, columns}, "ids", ids);

  return by_dtype(token.dtype, [=](auto zero) {
    using T = decltype(zero);
    return kernel_from([=](const Operands& operands) {
      const int32_t* ids = operands.inputs[0].as<const int32_t>();
      const T* token = operands.inputs[1].as<const T>();
      const T* position = operands.inputs[2].as<const T>();
      T* y = operands.outputs[0].as<T>();
      expect_ids("embedding", ids, batch, length, vocabulary);
      parallel_for(batch * length, row_grain(columns), [=](int64_t begin, int64_t end) {
        for (int64_t row = begin; row < end; row++) {
          add_row(token + ids[row] * columns, position + row % length * columns, y + row * columns, columns);
        }
      });
    });
  });
}

LORIKEET_REGISTER_CPU_KERNEL("embedding", make_embedding);

}  // namespace
}  // namespace lorikeet::cpu
