// cast: y = x in the dtype of y (f32, bf16), rounded to nearest even.
#include "../../native/core/ops/elementwise.h"

#include "../op.h"
#include "elementwise.cuh"

namespace LORIKEET_CUDA {
namespace {

template <typename From, typename To>
struct Cast {
  Global<const From> x;
  Global<To> y;

  template <int kWidth>
  __device__ __forceinline__ void run(int64_t i) const {
    const Vector<From, kWidth> from = load_vector<kWidth>(x, i);
    Vector<To, kWidth> to;
    LORIKEET_UNROLL for (int e = 0; e < kWidth; e++) to[e] = from_float<To>(to_float(from[e]));
    store_vector(y, i, to);
  }
};

Launch make_cast(const CudaRequest& request) {
  check_cast(request);
  const TensorSpec& x = request.inputs[0];
  const TensorSpec& y = request.outputs[0];

  return by_dtype(x.dtype, [&](auto from_zero) {
    return by_dtype(y.dtype, [count = elements_of(x.shape)](auto to_zero) -> Launch {
      using From = decltype(from_zero);
      using To = decltype(to_zero);
      return [count](const Operands& operands, const LaunchContext& context) {
        constexpr int kWidth = std::min(kPerAccess<From>, kPerAccess<To>);
        const From* x = data<const From>(operands.inputs[0]);
        To* y = data<To>(operands.outputs[0]);
        launch_elementwise<kWidth>("cast", Cast<From, To>{x, y}, count, aligned(x, y), context.stream);
      };
    });
  });
}

LORIKEET_REGISTER_CUDA_KERNEL("cast", make_cast);

}  // namespace
}  // namespace LORIKEET_CUDA
