#include "../../native/core/ops/rms_norm.h"
#include "../op.h"
#include "rms_norm.h"

namespace LORIKEET_CUDA {
namespace {

Launch make_rms_norm(const CudaRequest& request) {
  const RmsNormOp op = read_rms_norm(request);
  return by_dtype(op.dtype, [=](auto zero) -> Launch {
    using T = decltype(zero);
    return [=](const Operands& operands, const LaunchContext& context) {
      RmsNorm<T> p{};
      p.rows = static_cast<int>(op.rows), p.columns = static_cast<int>(op.columns);
      p.eps = static_cast<float>(op.eps);
      p.x = data<const T>(operands.inputs[0]), p.weight = data<const float>(operands.inputs[1]);
      p.y = data<T>(operands.outputs[0]), p.stats = data<float>(operands.outputs[1]);
      launch_rms_norm(p, context.stream);
    };
  });
}

Launch make_rms_norm_backward(const CudaRequest& request) {
  const RmsNormOp op = read_rms_norm_backward(request);
  const int rows = static_cast<int>(op.rows), columns = static_cast<int>(op.columns);
  if (op.dweight) request.reserve_scratch(rms_norm_backward_workspace(rows, columns) * 4);
  return by_dtype(op.dtype, [=](auto zero) -> Launch {
    using T = decltype(zero);
    return [=](const Operands& operands, const LaunchContext& context) {
      RmsNormBackward<T> p{};
      p.rows = rows, p.columns = columns;
      p.dy = data<const T>(operands.inputs[0]), p.x = data<const T>(operands.inputs[1]);
      p.weight = data<const float>(operands.inputs[2]), p.stats = data<const float>(operands.inputs[3]);
      if (op.dx) p.dx = data<T>(operands.outputs[0]);
      if (op.dweight) p.dweight = data<float>(operands.outputs[1]);
      p.workspace = static_cast<float*>(context.scratch);
      launch_rms_norm_backward(p, context.stream);
    };
  });
}

LORIKEET_REGISTER_CUDA_KERNEL("rms_norm", make_rms_norm);
LORIKEET_REGISTER_CUDA_KERNEL("rms_norm_backward", make_rms_norm_backward);

}  // namespace
}  // namespace LORIKEET_CUDA
