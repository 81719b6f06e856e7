// concat: y[.., C1 + C2] = [a[.., C1] | b[.., C2]].
#include "../../native/core/ops/columns.h"

#include "../op.h"
#include "elementwise.cuh"

namespace LORIKEET_CUDA {
namespace {

template <typename T>
struct Concat {
  int64_t a_columns, b_columns;
  Global<const T> a, b;
  Global<T> y;

  template <int kWidth>
  __device__ __forceinline__ void run(int64_t i) const {
    const int64_t row = i / (a_columns + b_columns), column = i - row * (a_columns + b_columns);
    store_vector(y, i, column < a_columns ? load_vector<kWidth>(a, row * a_columns + column)
                                          : load_vector<kWidth>(b, row * b_columns + column - a_columns));
  }
};

Launch make_concat(const CudaRequest& request) {
  check_concat(request);
  const TensorSpec& a = request.inputs[0];
  const TensorSpec& b = request.inputs[1];
  const TensorSpec& y = request.outputs[0];

  const int64_t count = elements_of(y.shape), a_columns = columns_of(a), b_columns = columns_of(b);
  return by_size(bytes_of(a.dtype), [=](auto zero) -> Launch {
    using T = decltype(zero);
    return [=](const Operands& operands, const LaunchContext& context) {
      constexpr int kWidth = kPerAccess<T>;
      const T *a = data<const T>(operands.inputs[0]), *b = data<const T>(operands.inputs[1]);
      T* y = data<T>(operands.outputs[0]);
      const bool wide = a_columns % kWidth == 0 && b_columns % kWidth == 0 && aligned(a, b, y);
      launch_elementwise<kWidth>("concat", Concat<T>{a_columns, b_columns, a, b, y}, count, wide, context.stream);
    };
  });
}

LORIKEET_REGISTER_CUDA_KERNEL("concat", make_concat);

}  // namespace
}  // namespace LORIKEET_CUDA
