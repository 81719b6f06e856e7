// sample_gaussian: z = mean + exp(logvar / 2) * eps, with moments = [mean | logvar] in the columns.
#include "../../native/core/ops/gaussian.h"

#include "../op.h"
#include "elementwise.cuh"

namespace LORIKEET_CUDA {
namespace {

template <typename T>
struct SampleGaussian {
  int64_t channels;
  Global<const T> moments;
  Global<const float> eps;
  Global<T> z;

  template <int kWidth>
  __device__ __forceinline__ void run(int64_t i) const {
    const int64_t at = i + i / channels * channels;
    const Vector<T, kWidth> mean = load_vector<kWidth>(moments, at);
    const Vector<T, kWidth> logvar = load_vector<kWidth>(moments, at + channels);
    const Vector<float, kWidth> noise = load_vector<kWidth>(eps, i);
    Vector<T, kWidth> sample;
    LORIKEET_UNROLL for (int e = 0; e < kWidth; e++) {
      const float deviation = expf(0.5f * clamp_logvar(to_float(logvar[e])));
      sample[e] = from_float<T>(to_float(mean[e]) + deviation * noise[e]);
    }
    store_vector(z, i, sample);
  }
};

Launch make_sample_gaussian(const CudaRequest& request) {
  const int64_t channels = read_sample_gaussian(request);
  const TensorSpec& moments = request.inputs[0];

  return by_dtype(moments.dtype, [=, count = elements_of(moments.shape) / 2](auto zero) -> Launch {
    using T = decltype(zero);
    return [=](const Operands& operands, const LaunchContext& context) {
      const T* moments = data<const T>(operands.inputs[0]);
      const float* eps = data<const float>(operands.inputs[1]);
      T* z = data<T>(operands.outputs[0]);
      launch_elementwise<kPerFloats>("sample_gaussian", SampleGaussian<T>{channels, moments, eps, z}, count,
                                     channels % kPerFloats == 0 && aligned(moments, eps, z), context.stream);
    };
  });
}

LORIKEET_REGISTER_CUDA_KERNEL("sample_gaussian", make_sample_gaussian);

}  // namespace
}  // namespace LORIKEET_CUDA
