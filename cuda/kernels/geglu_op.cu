#include "../../native/core/ops/geglu.h"
#include "../op.h"
#include "geglu.h"

namespace LORIKEET_CUDA {
namespace {

Launch make_geglu(const CudaRequest& request) {
  const GegluOp op = read_geglu(request);
  return by_dtype(op.dtype, [=](auto zero) -> Launch {
    using T = decltype(zero);
    return [=](const Operands& operands, const LaunchContext& context) {
      launch_geglu<T>({op.rows, op.columns, data<const T>(operands.inputs[0]), data<T>(operands.outputs[0])},
                      context.stream);
    };
  });
}

Launch make_geglu_backward(const CudaRequest& request) {
  const GegluOp op = read_geglu_backward(request);
  return by_dtype(op.dtype, [=](auto zero) -> Launch {
    using T = decltype(zero);
    return [=](const Operands& operands, const LaunchContext& context) {
      launch_geglu_backward<T>({op.rows, op.columns, data<const T>(operands.inputs[0]),
                                data<const T>(operands.inputs[1]), data<T>(operands.outputs[0])},
                               context.stream);
    };
  });
}

LORIKEET_REGISTER_CUDA_KERNEL("geglu", make_geglu);
LORIKEET_REGISTER_CUDA_KERNEL("geglu_backward", make_geglu_backward);

}  // namespace
}  // namespace LORIKEET_CUDA
