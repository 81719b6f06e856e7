// gaussian_kl: per_sample[n] = mean over z of (mean^2 + exp(logvar) - 1 - logvar) / 2, the divergence of the encoder's
// Gaussian from the standard normal one; total = mean of per_sample.
#include "../../native/core/ops/gaussian.h"

#include "../op.h"
#include "sample_means.cuh"

namespace LORIKEET_CUDA {
namespace {

// sums [samples, parts], a block for each.
template <typename T>
__global__ void __launch_bounds__(kSumThreads)
    gaussian_kl_kernel(Global<const T> moments, Global<double> sums, int64_t elements, int64_t channels, int parts) {
  const int64_t n = blockIdx.x / parts, first = (blockIdx.x - n * parts) * kSamplePart;
  const int64_t end = first + kSamplePart < elements ? first + kSamplePart : elements;
  float sum = 0.0f;
  for (int64_t i = first + threadIdx.x; i < end; i += kSumThreads) {
    const int64_t at = n * 2 * elements + i + i / channels * channels;
    const float mean = to_float(load(moments, at)), logvar = clamp_logvar(to_float(load(moments, at + channels)));
    sum += 0.5f * (mean * mean + (expm1f(logvar) - logvar));
  }
  const double all = block_sum(sum);
  if (threadIdx.x == 0) store(sums, static_cast<int64_t>(blockIdx.x), all);
}

Launch make_gaussian_kl(const CudaRequest& request) {
  const int64_t channels = read_gaussian_kl(request);
  const TensorSpec& moments = request.inputs[0];
  const int64_t batch = moments.shape[0];

  const int64_t elements = rows_of(moments) / batch * channels, parts = sample_parts(elements);
  request.reserve_scratch(batch * parts * static_cast<int64_t>(sizeof(double)));
  return by_dtype(moments.dtype, [=](auto zero) -> Launch {
    using T = decltype(zero);
    return [=](const Operands& operands, const LaunchContext& context) {
      double* sums = static_cast<double*>(context.scratch);
      LaunchShape shape;
      shape.grid = dim3(static_cast<unsigned>(batch * parts));
      shape.block = dim3(kSumThreads);
      launch("gaussian_kl", &gaussian_kl_kernel<T>, shape, context.stream, data<const T>(operands.inputs[0]), sums,
             elements, channels, static_cast<int>(parts));
      launch_sample_means({batch, elements, sums, nullptr, data<float>(operands.outputs[0]),
                           data<float>(operands.outputs[1])},
                          context.stream);
    };
  });
}

LORIKEET_REGISTER_CUDA_KERNEL("gaussian_kl", make_gaussian_kl);

}  // namespace
}  // namespace LORIKEET_CUDA
