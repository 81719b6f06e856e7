// loss: per_sample[n] = weight[n] * mean of f(pred[n] - target[n]); total = mean of per_sample.
#include "../../native/core/ops/loss.h"

#include "../op.h"
#include "sample_means.cuh"

namespace LORIKEET_CUDA {
namespace {

// sums [samples, parts] of f, a block for each.
template <class F, typename T, int kWidth>
__global__ void __launch_bounds__(kSumThreads)
    loss_kernel(Global<const T> pred, Global<const float> target, Global<const float> huber_c, Global<double> sums,
                int64_t columns, int parts) {
  const int64_t n = blockIdx.x / parts, first = (blockIdx.x - n * parts) * kSamplePart;
  const int64_t left = columns - first;
  const int count = static_cast<int>(left < kSamplePart ? left : kSamplePart);
  const float c = F::kHuber ? load(huber_c, n) : 0.0f;
  float sum = 0.0f;
  for (int i = static_cast<int>(threadIdx.x) * kWidth; i < count; i += kSumThreads * kWidth) {
    const int64_t at = n * columns + first + i;
    const Vector<T, kWidth> guess = load_vector<kWidth>(pred, at);
    const Vector<float, kWidth> truth = load_vector<kWidth>(target, at);
    LORIKEET_UNROLL for (int e = 0; e < kWidth; e++) sum += F::value(to_float(guess[e]) - truth[e], c);
  }
  const double all = block_sum(sum);
  if (threadIdx.x == 0) store(sums, static_cast<int64_t>(blockIdx.x), all);
}

template <class F, typename T>
void launch_loss(const T* pred, const float* target, const float* huber_c, const SampleMeans& means, double* sums,
                 Stream stream) {
  const int parts = static_cast<int>(sample_parts(means.elements));
  LaunchShape shape;
  shape.grid = dim3(static_cast<unsigned>(means.batch * parts));
  shape.block = dim3(kSumThreads);
  constexpr int kWidth = kPerAccess<float>;
  const bool wide = means.elements % kWidth == 0 && aligned(pred, target);
  launch("loss", wide ? &loss_kernel<F, T, kWidth> : &loss_kernel<F, T, 1>, shape, stream, pred, target, huber_c, sums,
         means.elements, parts);
  launch_sample_means(means, stream);
}

Launch make_loss(const CudaRequest& request) {
  check_loss(request);
  const TensorSpec& pred = request.inputs[0];
  const int64_t batch = pred.shape[0], columns = elements_of(pred.shape) / batch;

  request.reserve_scratch(batch * sample_parts(columns) * static_cast<int64_t>(sizeof(double)));
  return by_loss("loss", request.instruction.text("kind"), [&](auto function) {
    return by_dtype(pred.dtype, [=](auto zero) -> Launch {
      using F = decltype(function);
      using T = decltype(zero);
      return [=](const Operands& operands, const LaunchContext& context) {
        double* sums = static_cast<double*>(context.scratch);
        const float* huber_c = F::kHuber ? data<const float>(operands.inputs[3]) : nullptr;
        const SampleMeans means{batch, columns, sums, data<const float>(operands.inputs[2]),
                                data<float>(operands.outputs[0]), data<float>(operands.outputs[1])};
        launch_loss<F>(data<const T>(operands.inputs[0]), data<const float>(operands.inputs[1]), huber_c, means, sums,
                       context.stream);
      };
    });
  });
}

LORIKEET_REGISTER_CUDA_KERNEL("loss", make_loss);

}  // namespace
}  // namespace LORIKEET_CUDA
