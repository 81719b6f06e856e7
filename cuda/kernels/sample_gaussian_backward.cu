// sample_gaussian_backward: dmean = dz, dlogvar = dz * eps * exp(logvar / 2) / 2 (0 where the log variance is clamped).
#include "../../native/core/ops/gaussian.h"

#include "../op.h"
#include "elementwise.cuh"

namespace LORIKEET_CUDA {
namespace {

template <typename T>
struct SampleGaussianBackward {
  int64_t channels;
  Global<const T> dz, moments;
  Global<const float> eps;
  Global<T> dmoments;

  template <int kWidth>
  __device__ __forceinline__ void run(int64_t i) const {
    const int64_t at = i + i / channels * channels;
    const Vector<T, kWidth> slope = load_vector<kWidth>(dz, i);
    const Vector<T, kWidth> logvar = load_vector<kWidth>(moments, at + channels);
    const Vector<float, kWidth> noise = load_vector<kWidth>(eps, i);
    Vector<T, kWidth> dlogvar;
    LORIKEET_UNROLL for (int e = 0; e < kWidth; e++) {
      const float raw = to_float(logvar[e]), deviation = expf(0.5f * clamp_logvar(raw));
      dlogvar[e] = from_float<T>(clamp_slope(raw) * 0.5f * deviation * noise[e] * to_float(slope[e]));
    }
    store_vector(dmoments, at, slope);
    store_vector(dmoments, at + channels, dlogvar);
  }
};

Launch make_sample_gaussian_backward(const CudaRequest& request) {
  const int64_t channels = read_sample_gaussian_backward(request);
  const TensorSpec& moments = request.inputs[1];

  return by_dtype(moments.dtype, [=, count = elements_of(moments.shape) / 2](auto zero) -> Launch {
    using T = decltype(zero);
    return [=](const Operands& operands, const LaunchContext& context) {
      const T *dz = data<const T>(operands.inputs[0]), *moments = data<const T>(operands.inputs[1]);
      const float* eps = data<const float>(operands.inputs[2]);
      T* dmoments = data<T>(operands.outputs[0]);
      const SampleGaussianBackward<T> work{channels, dz, moments, eps, dmoments};
      launch_elementwise<kPerFloats>("sample_gaussian_backward", work, count,
                                     channels % kPerFloats == 0 && aligned(dz, moments, eps, dmoments),
                                     context.stream);
    };
  });
}

LORIKEET_REGISTER_CUDA_KERNEL("sample_gaussian_backward", make_sample_gaussian_backward);

}  // namespace
}  // namespace LORIKEET_CUDA
