// loss_backward: dpred = scale * d total / d pred = scale * weight[n] / (N * elements of a sample) * f'(pred - target).
#include "../../native/core/ops/loss.h"

#include "../op.h"
#include "elementwise.cuh"

namespace LORIKEET_CUDA {
namespace {

template <class F, typename T>
struct LossBackward {
  int64_t columns;  // elements of a sample
  float scale;
  Global<const T> pred;
  Global<const float> target, weight, huber_c;
  Global<T> dpred;

  template <int kWidth>
  __device__ __forceinline__ void run(int64_t i) const {
    const int64_t n = i / columns;
    const float factor = scale * load(weight, n), c = F::kHuber ? load(huber_c, n) : 0.0f;
    const Vector<T, kWidth> guess = load_vector<kWidth>(pred, i);
    const Vector<float, kWidth> truth = load_vector<kWidth>(target, i);
    Vector<T, kWidth> slope;
    LORIKEET_UNROLL for (int e = 0; e < kWidth; e++) {
      slope[e] = from_float<T>(factor * F::slope(to_float(guess[e]) - truth[e], c));
    }
    store_vector(dpred, i, slope);
  }
};

Launch make_loss_backward(const CudaRequest& request) {
  check_loss_backward(request);
  const TensorSpec& pred = request.inputs[0];

  const int64_t count = elements_of(pred.shape), columns = count / pred.shape[0];
  const float scale = static_cast<float>(request.instruction.number("scale") / static_cast<double>(count));
  return by_loss("loss_backward", request.instruction.text("kind"), [&](auto function) {
    return by_dtype(pred.dtype, [=](auto zero) -> Launch {
      using F = decltype(function);
      using T = decltype(zero);
      return [=](const Operands& operands, const LaunchContext& context) {
        const T* pred = data<const T>(operands.inputs[0]);
        const float *target = data<const float>(operands.inputs[1]), *weight = data<const float>(operands.inputs[2]);
        const float* huber_c = F::kHuber ? data<const float>(operands.inputs[3]) : nullptr;
        T* dpred = data<T>(operands.outputs[0]);
        const LossBackward<F, T> work{columns, scale, pred, target, weight, huber_c, dpred};
        launch_elementwise<kPerFloats>("loss_backward", work, count,
                                       columns % kPerFloats == 0 && aligned(pred, target, dpred), context.stream);
      };
    });
  });
}

LORIKEET_REGISTER_CUDA_KERNEL("loss_backward", make_loss_backward);

}  // namespace
}  // namespace LORIKEET_CUDA
