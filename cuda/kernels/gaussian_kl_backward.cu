// gaussian_kl_backward: scale * d total / d moments: dmean = f * mean, dlogvar = f * (exp(logvar) - 1) / 2 (0 where the
// log variance is clamped), f = scale / elements of z.
#include "../../native/core/ops/gaussian.h"

#include "../op.h"
#include "elementwise.cuh"

namespace LORIKEET_CUDA {
namespace {

template <typename T>
struct GaussianKlBackward {
  int64_t channels;
  float factor;
  Global<const T> moments;
  Global<T> dmoments;

  template <int kWidth>
  __device__ __forceinline__ void run(int64_t i) const {
    const int64_t at = i + i / channels * channels;
    const Vector<T, kWidth> mean = load_vector<kWidth>(moments, at);
    const Vector<T, kWidth> logvar = load_vector<kWidth>(moments, at + channels);
    Vector<T, kWidth> dmean, dlogvar;
    LORIKEET_UNROLL for (int e = 0; e < kWidth; e++) {
      const float raw = to_float(logvar[e]);
      dmean[e] = from_float<T>(factor * to_float(mean[e]));
      dlogvar[e] = from_float<T>(clamp_slope(raw) * 0.5f * factor * expm1f(clamp_logvar(raw)));
    }
    store_vector(dmoments, at, dmean);
    store_vector(dmoments, at + channels, dlogvar);
  }
};

Launch make_gaussian_kl_backward(const CudaRequest& request) {
  const int64_t channels = read_gaussian_kl_backward(request);
  const TensorSpec& moments = request.inputs[0];
  const int64_t count = rows_of(moments) * channels;
  const float factor = static_cast<float>(request.instruction.number("scale") / static_cast<double>(count));

  return by_dtype(moments.dtype, [=](auto zero) -> Launch {
    using T = decltype(zero);
    return [=](const Operands& operands, const LaunchContext& context) {
      const T* moments = data<const T>(operands.inputs[0]);
      T* dmoments = data<T>(operands.outputs[0]);
      const GaussianKlBackward<T> work{channels, factor, moments, dmoments};
      launch_elementwise<kPerFloats>("gaussian_kl_backward", work, count,
                                     channels % kPerFloats == 0 && aligned(moments, dmoments), context.stream);
    };
  });
}

LORIKEET_REGISTER_CUDA_KERNEL("gaussian_kl_backward", make_gaussian_kl_backward);

}  // namespace
}  // namespace LORIKEET_CUDA
