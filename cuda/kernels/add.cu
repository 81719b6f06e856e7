// add: y = a + b, elementwise; y may be the bytes of a or of b.
#include "../../native/core/ops/elementwise.h"

#include "../op.h"
#include "elementwise.cuh"

namespace LORIKEET_CUDA {
namespace {

template <typename T>
struct Add {
  Global<const T> a, b;
  Global<T> y;

  template <int kWidth>
  __device__ __forceinline__ void run(int64_t i) const {
    const Vector<T, kWidth> left = load_vector<kWidth>(a, i), right = load_vector<kWidth>(b, i);
    Vector<T, kWidth> sum;
    LORIKEET_UNROLL for (int e = 0; e < kWidth; e++) sum[e] = from_float<T>(to_float(left[e]) + to_float(right[e]));
    store_vector(y, i, sum);
  }
};

Launch make_add(const CudaRequest& request) {
  check_add(request);
  const TensorSpec& a = request.inputs[0];

  return by_dtype(a.dtype, [count = elements_of(a.shape)](auto zero) -> Launch {
    using T = decltype(zero);
    return [count](const Operands& operands, const LaunchContext& context) {
      const T *a = data<const T>(operands.inputs[0]), *b = data<const T>(operands.inputs[1]);
      T* y = data<T>(operands.outputs[0]);
      launch_elementwise<kPerAccess<T>>("add", Add<T>{a, b, y}, count, aligned(a, b, y), context.stream);
    };
  });
}

LORIKEET_REGISTER_CUDA_KERNEL("add", make_add);

}  // namespace
}  // namespace LORIKEET_CUDA
