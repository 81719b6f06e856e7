// ema: average = decay * average + (1 - decay) * params, in place, over whole f32 buffers.
#include "../../native/core/ops/elementwise.h"

#include "../op.h"
#include "elementwise.cuh"

namespace LORIKEET_CUDA {
namespace {

struct Ema {
  float decay, rate;
  Global<const float> params;
  Global<float> average;

  template <int kWidth>
  __device__ __forceinline__ void run(int64_t i) const {
    const Vector<float, kWidth> latest = load_vector<kWidth>(params, i);
    Vector<float, kWidth> mean = load_vector<kWidth>(average, i);
    LORIKEET_UNROLL for (int e = 0; e < kWidth; e++) mean[e] = decay * mean[e] + rate * latest[e];
    store_vector(average, i, mean);
  }
};

Launch make_ema(const CudaRequest& request) {
  check_ema(request);
  const TensorSpec& params = request.inputs[0];
  const double decay = request.instruction.number("decay");

  const float kept = static_cast<float>(decay), rate = static_cast<float>(1.0 - decay);
  return [=, count = elements_of(params.shape)](const Operands& operands, const LaunchContext& context) {
    const float* params = data<const float>(operands.inputs[0]);
    float* average = data<float>(operands.outputs[0]);
    launch_elementwise<kPerFloats>("ema", Ema{kept, rate, params, average}, count, aligned(params, average),
                                   context.stream);
  };
}

LORIKEET_REGISTER_CUDA_KERNEL("ema", make_ema);

}  // namespace
}  // namespace LORIKEET_CUDA
