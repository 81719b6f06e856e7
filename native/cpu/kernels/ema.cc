// ema: average = decay * average + (1 - decay) * params, in place, over whole f32 buffers.
#include "../../core/ops/elementwise.h"
#include "../elementwise.h"

namespace lorikeet::cpu {
namespace {

LORIKEET_CLONES void apply(const float* params, float* average, float decay, float rate, int64_t n) {
#pragma omp simd
  for (int64_t i = 0; i < n; i++) average[i] = decay * average[i] + rate * params[i];
}

std::unique_ptr<Kernel> make_ema(const KernelRequest& request) {
  check_ema(request);
  const TensorSpec& params = request.inputs[0];
  const double decay = request.instruction.number("decay");

  const int64_t n = elements_of(params.shape);
  return kernel_from([=](const Operands& operands) {
    const float* params = operands.inputs[0].as<const float>();
    float* average = operands.outputs[0].as<float>();
    parallel_for(n, kElementGrain, [=](int64_t begin, int64_t end) {
      apply(params + begin, average + begin, static_cast<float>(decay), static_cast<float>(1.0 - decay), end - begin);
    });
  });
}

LORIKEET_REGISTER_CPU_KERNEL("ema", make_ema);

}  // namespace
}  // namespace lorikeet::cpu
