#include "../../native/core/ops/activation.h"
#include "../op.h"
#include "activation.h"

namespace LORIKEET_CUDA {
namespace {

Launch make_activation(const CudaRequest& request) {
  const ActivationOp op = read_activation(request);
  return by_dtype(op.dtype, [=](auto zero) -> Launch {
    using T = decltype(zero);
    return [=](const Operands& operands, const LaunchContext& context) {
      launch_activation<T>({op.count, op.kind, data<const T>(operands.inputs[0]), data<T>(operands.outputs[0])},
                           context.stream);
    };
  });
}

Launch make_activation_backward(const CudaRequest& request) {
  const ActivationOp op = read_activation_backward(request);
  return by_dtype(op.dtype, [=](auto zero) -> Launch {
    using T = decltype(zero);
    return [=](const Operands& operands, const LaunchContext& context) {
      launch_activation_backward<T>({op.count, op.kind, data<const T>(operands.inputs[0]),
                                     data<const T>(operands.inputs[1]), data<T>(operands.outputs[0])},
                                    context.stream);
    };
  });
}

LORIKEET_REGISTER_CUDA_KERNEL("activation", make_activation);
LORIKEET_REGISTER_CUDA_KERNEL("activation_backward", make_activation_backward);

}  // namespace
}  // namespace LORIKEET_CUDA
