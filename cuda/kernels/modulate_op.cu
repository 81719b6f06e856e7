#include "../../native/core/ops/modulate.h"
#include "../op.h"
#include "modulate.h"

namespace LORIKEET_CUDA {
namespace {

Launch make_modulate(const CudaRequest& request) {
  const PerSample op = read_modulate(request);
  return by_dtype(op.dtype, [=](auto zero) -> Launch {
    using T = decltype(zero);
    return [=](const Operands& operands, const LaunchContext& context) {
      launch_modulate<T>({op.samples, op.rows, static_cast<int>(op.columns), data<const T>(operands.inputs[0]),
                          data<const T>(operands.inputs[1]), data<const T>(operands.inputs[2]),
                          data<T>(operands.outputs[0])},
                         context.stream);
    };
  });
}

Launch make_gate(const CudaRequest& request) {
  const PerSample op = read_gate(request);
  return by_dtype(op.dtype, [=](auto zero) -> Launch {
    using T = decltype(zero);
    return [=](const Operands& operands, const LaunchContext& context) {
      launch_gate<T>({op.samples, op.rows, static_cast<int>(op.columns), data<const T>(operands.inputs[0]),
                      data<const T>(operands.inputs[1]), data<const T>(operands.inputs[2]),
                      data<T>(operands.outputs[0])},
                     context.stream);
    };
  });
}

Launch make_backward(const CudaRequest& request, const ModulateBackwardOp& op) {
  const int columns = static_cast<int>(op.columns);
  if (op.dscale || op.dshift) {
    request.reserve_scratch(modulate_backward_workspace(op.samples, op.rows, columns) * 4);
  }
  return by_dtype(op.dtype, [=](auto zero) -> Launch {
    using T = decltype(zero);
    return [=](const Operands& operands, const LaunchContext& context) {
      ModulateBackward<T> p{};
      p.samples = op.samples, p.rows = op.rows, p.columns = columns, p.plus = op.plus;
      p.dy = data<const T>(operands.inputs[0]), p.x = data<const T>(operands.inputs[1]);
      p.scale = data<const T>(operands.inputs[2]);
      if (op.dx) p.dx = data<T>(operands.outputs[0]);
      if (op.dscale) p.dscale = data<T>(operands.outputs[1]);
      if (op.dshift) p.dshift = data<T>(operands.outputs[2]);
      p.workspace = static_cast<float*>(context.scratch);
      launch_modulate_backward(p, context.stream);
    };
  });
}

Launch make_modulate_backward(const CudaRequest& request) {
  return make_backward(request, read_modulate_backward(request));
}

Launch make_gate_backward(const CudaRequest& request) { return make_backward(request, read_gate_backward(request)); }

LORIKEET_REGISTER_CUDA_KERNEL("modulate", make_modulate);
LORIKEET_REGISTER_CUDA_KERNEL("gate", make_gate);
LORIKEET_REGISTER_CUDA_KERNEL("modulate_backward", make_modulate_backward);
LORIKEET_REGISTER_CUDA_KERNEL("gate_backward", make_gate_backward);

}  // namespace
}  // namespace LORIKEET_CUDA
