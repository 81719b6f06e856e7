// embedding_backward: dtoken[ids[n, l]] += dy[n, l] and dposition[l] += dy[n, l], in the order of the rows. Threads
// take columns, so no two write to the same place and the order never changes.
#include "../../core/ops/embedding.h"

#include "../elementwise.h"

namespace lorikeet::cpu {
namespace {

constexpr int64_t kColumnGrain = 128;

template <typename T>
LORIKEET_CLONES void add_row(const T* dy, float* sum, int64_t n) {
#pragma omp simd
  for (int64_t i = 0; i < n; i++) sum[i] += to_f32(dy[i]);
}

std::unique_ptr<Kernel> make_embedding_backward(const KernelRequest& request) {
  const Embedding e = read_embedding_backward(request);
  return by_dtype(e.dtype, [=, has_token = request.has_output(0), has_position = request.has_output(1)](auto zero) {
    using T = decltype(zero);
    return kernel_from([=](const Operands& operands) {
      const T* dy = operands.inputs[0].as<const T>();
      const int32_t* ids = operands.inputs[1].as<const int32_t>();
      float* dtoken = has_token ? operands.outputs[0].as<float>() : nullptr;
      float* dposition = has_position ? operands.outputs[1].as<float>() : nullptr;
      if (dtoken) expect_ids("embedding_backward", e, ids);
      parallel_for(e.columns, kColumnGrain, [=](int64_t begin, int64_t end) {
        for (int64_t row = 0; row < e.batch * e.length; row++) {
          const T* from = dy + row * e.columns + begin;
          if (dtoken) add_row(from, dtoken + ids[row] * e.columns + begin, end - begin);
          if (dposition) add_row(from, dposition + row % e.length * e.columns + begin, end - begin);
        }
      });
    });
  });
}

LORIKEET_REGISTER_CPU_KERNEL("embedding_backward", make_embedding_backward);

}  // namespace
}  // namespace lorikeet::cpu
