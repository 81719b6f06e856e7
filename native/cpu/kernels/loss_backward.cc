// loss_backward: dpred = scale * d total / d pred = scale * weight[n] / (N * elements of a sample) * f'(pred - target).
#include "../../core/ops/loss.h"

#include "../elementwise.h"

namespace lorikeet::cpu {
namespace {

template <typename F, typename T>
LORIKEET_CLONES void apply(const T* pred, const float* target, float c, float factor, T* dpred, int64_t n) {
#pragma omp simd
  for (int64_t i = 0; i < n; i++) dpred[i] = from_f32<T>(factor * F::slope(to_f32(pred[i]) - target[i], c));
}

std::unique_ptr<Kernel> make_loss_backward(const KernelRequest& request) {
  check_loss_backward(request);
  const TensorSpec& pred = request.inputs[0];
  const double scale = request.instruction.number("scale");

  const int64_t batch = pred.shape[0], n = elements_of(pred.shape), columns = n / batch;
  return by_loss("loss_backward", request.instruction.text("kind"), [&](auto function) {
    return by_dtype(pred.dtype, [=](auto zero) {
      using F = decltype(function);
      using T = decltype(zero);
      return kernel_from([=](const Operands& operands) {
        const T* pred = operands.inputs[0].as<const T>();
        const float* target = operands.inputs[1].as<const float>();
        const float* weight = operands.inputs[2].as<const float>();
        const float* huber_c = F::kHuber ? operands.inputs[3].as<const float>() : nullptr;
        T* dpred = operands.outputs[0].as<T>();
        for (int64_t sample = 0; sample < batch; sample++) {
          const float factor = static_cast<float>(scale * weight[sample] / n);
          const float c = F::kHuber ? huber_c[sample] : 0.0f;
          parallel_for(columns, kElementGrain, [=](int64_t begin, int64_t end) {
            const int64_t at = sample * columns + begin;
            apply<F>(pred + at, target + at, c, factor, dpred + at, end - begin);
          });
        }
      });
    });
  });
}

LORIKEET_REGISTER_CPU_KERNEL("loss_backward", make_loss_backward);

}  // namespace
}  // namespace lorikeet::cpu
