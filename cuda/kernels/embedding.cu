// embedding: y[n, l] = token[ids[n, l]] + position[l].
#include "../../native/core/ops/embedding.h"

#include "../op.h"
#include "elementwise.cuh"

namespace LORIKEET_CUDA {
namespace {

template <typename T>
struct TokenRows {
  int length;
  int64_t columns;
  Global<const int32_t> ids;
  Global<const T> token, position;
  Global<T> y;

  template <int kWidth>
  __device__ __forceinline__ void run(int64_t i) const {
    const int row = static_cast<int>(i / columns);
    const int64_t column = i - row * columns;
    const Vector<T, kWidth> own = load_vector<kWidth>(token, load(ids, row) * columns + column);
    const Vector<T, kWidth> place = load_vector<kWidth>(position, row % length * columns + column);
    Vector<T, kWidth> sum;
    LORIKEET_UNROLL for (int e = 0; e < kWidth; e++) sum[e] = from_float<T>(to_float(own[e]) + to_float(place[e]));
    store_vector(y, i, sum);
  }
};

Launch make_embedding(const CudaRequest& request) {
  const Embedding e = read_embedding(request);
  request.check_input(0, [e](const void* ids) { expect_ids("embedding", e, static_cast<const int32_t*>(ids)); });
  return by_dtype(e.dtype, [e](auto zero) -> Launch {
    using T = decltype(zero);
    return [e](const Operands& operands, const LaunchContext& context) {
      const T *token = data<const T>(operands.inputs[1]), *position = data<const T>(operands.inputs[2]);
      T* y = data<T>(operands.outputs[0]);
      const TokenRows<T> work{static_cast<int>(e.length), e.columns, data<const int32_t>(operands.inputs[0]), token,
                              position, y};
      launch_elementwise<kPerAccess<T>>("embedding", work, e.batch * e.length * e.columns,
                                        e.columns % kPerAccess<T> == 0 && aligned(token, position, y), context.stream);
    };
  });
}

LORIKEET_REGISTER_CUDA_KERNEL("embedding", make_embedding);

}  // namespace
}  // namespace LORIKEET_CUDA
