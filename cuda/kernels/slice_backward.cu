// slice_backward: dx[.., C] = dy[.., count] at columns start .. start + count, zero elsewhere.
#include "../../native/core/ops/columns.h"

#include "../op.h"
#include "elementwise.cuh"

namespace LORIKEET_CUDA {
namespace {

template <typename T>
struct SliceBackward {
  int64_t start, columns, x_columns;
  Global<const T> dy;
  Global<T> dx;

  template <int kWidth>
  __device__ __forceinline__ void run(int64_t i) const {
    const int64_t row = i / x_columns, column = i - row * x_columns - start;
    Vector<T, kWidth> value{};
    if (column >= 0 && column < columns) value = load_vector<kWidth>(dy, row * columns + column);
    store_vector(dx, i, value);
  }
};

Launch make_slice_backward(const CudaRequest& request) {
  const TensorSpec& dy = request.inputs[0];
  const TensorSpec& dx = request.outputs[0];
  const int64_t start = read_slice_backward_start(request), columns = columns_of(dy), x_columns = columns_of(dx);

  return by_size(bytes_of(dy.dtype), [=, count = elements_of(dx.shape)](auto zero) -> Launch {
    using T = decltype(zero);
    return [=](const Operands& operands, const LaunchContext& context) {
      constexpr int kWidth = kPerAccess<T>;
      const T* dy = data<const T>(operands.inputs[0]);
      T* dx = data<T>(operands.outputs[0]);
      const bool wide = start % kWidth == 0 && columns % kWidth == 0 && x_columns % kWidth == 0 && aligned(dy, dx);
      launch_elementwise<kWidth>("slice_backward", SliceBackward<T>{start, columns, x_columns, dy, dx}, count, wide,
                                 context.stream);
    };
  });
}

LORIKEET_REGISTER_CUDA_KERNEL("slice_backward", make_slice_backward);

}  // namespace
}  // namespace LORIKEET_CUDA
