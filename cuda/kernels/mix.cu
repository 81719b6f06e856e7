// mix: y = ca[n] * a + cb[n] * b per sample n. Noising, v targets and flow matching are all of this form.
#include "../../native/core/ops/elementwise.h"

#include "../op.h"
#include "elementwise.cuh"

namespace LORIKEET_CUDA {
namespace {

template <typename T>
struct Mix {
  int64_t columns;  // elements of a sample
  Global<const float> a, b, ca, cb;
  Global<T> y;

  template <int kWidth>
  __device__ __forceinline__ void run(int64_t i) const {
    const float left = load(ca, i / columns), right = load(cb, i / columns);
    const Vector<float, kWidth> first = load_vector<kWidth>(a, i), second = load_vector<kWidth>(b, i);
    Vector<T, kWidth> sum;
    LORIKEET_UNROLL for (int e = 0; e < kWidth; e++) sum[e] = from_float<T>(left * first[e] + right * second[e]);
    store_vector(y, i, sum);
  }
};

Launch make_mix(const CudaRequest& request) {
  check_mix(request);
  const TensorSpec& a = request.inputs[0];
  const TensorSpec& y = request.outputs[0];
  const int64_t batch = a.shape[0];

  const int64_t count = elements_of(a.shape), columns = batch == 0 ? 0 : count / batch;
  return by_dtype(y.dtype, [=](auto zero) -> Launch {
    using T = decltype(zero);
    return [=](const Operands& operands, const LaunchContext& context) {
      const float *a = data<const float>(operands.inputs[0]), *b = data<const float>(operands.inputs[1]);
      const float *ca = data<const float>(operands.inputs[2]), *cb = data<const float>(operands.inputs[3]);
      T* y = data<T>(operands.outputs[0]);
      launch_elementwise<kPerFloats>("mix", Mix<T>{columns, a, b, ca, cb, y}, count,
                                     columns % kPerFloats == 0 && aligned(a, b, y), context.stream);
    };
  });
}

LORIKEET_REGISTER_CUDA_KERNEL("mix", make_mix);

}  // namespace
}  // namespace LORIKEET_CUDA
