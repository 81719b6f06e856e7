// slice: y[.., count] = columns start .. start + count of x[.., C].
#include "../../native/core/ops/columns.h"

#include "../op.h"
#include "elementwise.cuh"

namespace LORIKEET_CUDA {
namespace {

template <typename T>
struct Slice {
  int64_t start, columns, x_columns;
  Global<const T> x;
  Global<T> y;

  template <int kWidth>
  __device__ __forceinline__ void run(int64_t i) const {
    const int64_t row = i / columns, column = i - row * columns;
    store_vector(y, i, load_vector<kWidth>(x, row * x_columns + start + column));
  }
};

Launch make_slice(const CudaRequest& request) {
  const TensorSpec& x = request.inputs[0];
  const TensorSpec& y = request.outputs[0];
  const int64_t start = read_slice_start(request), columns = columns_of(y), x_columns = columns_of(x);

  return by_size(bytes_of(x.dtype), [=, count = elements_of(y.shape)](auto zero) -> Launch {
    using T = decltype(zero);
    return [=](const Operands& operands, const LaunchContext& context) {
      constexpr int kWidth = kPerAccess<T>;
      const T* x = data<const T>(operands.inputs[0]);
      T* y = data<T>(operands.outputs[0]);
      const bool wide = start % kWidth == 0 && columns % kWidth == 0 && x_columns % kWidth == 0 && aligned(x, y);
      launch_elementwise<kWidth>("slice", Slice<T>{start, columns, x_columns, x, y}, count, wide, context.stream);
    };
  });
}

LORIKEET_REGISTER_CUDA_KERNEL("slice", make_slice);

}  // namespace
}  // namespace LORIKEET_CUDA
