// embedding_backward: dtoken[ids[n, l]] += dy[n, l] and dposition[l] += dy[n, l], in the order of the rows. Threads
// take columns, so no two write to the same place and the order never changes.
#include "../elementwise.h"
#include "embedding.h"

namespace lorikeet::cpu {
namespace {

constexpr int64_t kColumnGrain = 128;

template <typename T>
LORIKEET_CLONES void add_row(const T* dy, float* sum, int64_t n) {
#pragma omp simd
  for (int64_t i = 0; i < n; i++) sum[i] += to_f32(dy[i]);
}

std::unique_ptr<Kernel> make_embedding_backward(const KernelRequest& request) {
  expect_operands(request, {"dy", "ids"}, {"dtoken?", "dposition?"});
  const TensorSpec& dy = request.inputs[0];
  const TensorSpec& ids = request.inputs[1];
  expect_compute_dtype(request, "dy", dy);
  expect_dtype(request, "ids", ids, {DType::i32});
  require(ids.shape.size() == 2, "embedding_backward: ids ", to_string(ids.shape), " must be [N, L]");
  const int64_t batch = ids.shape[0], length = ids.shape[1], columns = columns_of(dy);
  expect_shape(request, "dy", dy, {batch, length, columns}, "ids", ids);
  int64_t vocabulary = 0;
  if (request.has_output(0)) {
    const TensorSpec& dtoken = request.outputs[0];
    vocabulary = rows_of(dtoken);
    expect_accumulator(request, "dtoken", dtoken);
    expect_shape(request, "dtoken", dtoken, {vocabulary, columns}, "dy", dy);
  }
  if (request.has_output(1)) {
    const TensorSpec& dposition = request.outputs[1];
    expect_accumulator(request, "dposition", dposition);
    expect_shape(request, "dposition", dposition, {rows_of(dposition), columns}, "dy", dy);
    require(length <= rows_of(dposition), "embedding_backward: ids ", to_string(ids.shape),
            " are longer than dposition ", to_string(dposition.shape));
  }

  return by_dtype(dy.dtype, [=, has_token = request.has_output(0), has_position = request.has_output(1)](auto zero) {
    using T = decltype(zero);
    return kernel_from([=](const Operands& operands) {
      const T* dy = operands.inputs[0].as<const T>();
      const int32_t* ids = operands.inputs[1].as<const int32_t>();
      float* dtoken = has_token ? operands.outputs[0].as<float>() : nullptr;
      float* dposition = has_position ? operands.outputs[1].as<float>() : nullptr;
      if (dtoken) expect_ids("embedding_backward", ids, batch, length, vocabulary);
      parallel_for(columns, kColumnGrain, [=](int64_t begin, int64_t end) {
        for (int64_t row = 0; row < batch * length; row++) {
          const T* from = dy + row * columns + begin;
          if (dtoken) add_row(from, dtoken + ids[row] * columns + begin, end - begin);
          if (dposition) add_row(from, dposition + row % length * columns + begin, end - begin);
        }
      });
    });
  });
}

LORIKEET_REGISTER_CPU_KERNEL("embedding_backward", make_embedding_backward);

}  // namespace
}  // namespace lorikeet::cpu
