#include "../../native/core/ops/norms.h"
#include "../op.h"
#include "layer_norm.h"
#include "layer_norm_backward.h"

namespace LORIKEET_CUDA {
namespace {

Launch make_layer_norm(const CudaRequest& request) {
  const LayerNormOp op = read_layer_norm(request);
  return by_dtype(op.dtype, [=](auto zero) -> Launch {
    using T = decltype(zero);
    return [=](const Operands& operands, const LaunchContext& context) {
      LayerNorm<T> p{};
      p.rows = static_cast<int>(op.rows), p.columns = static_cast<int>(op.columns);
      p.eps = static_cast<float>(op.eps);
      p.x = data<const T>(operands.inputs[0]);
      p.gamma = data<const float>(operands.inputs[1]), p.beta = data<const float>(operands.inputs[2]);
      p.y = data<T>(operands.outputs[0]), p.stats = data<float>(operands.outputs[1]);
      launch_layer_norm(p, context.stream);
    };
  });
}

Launch make_layer_norm_backward(const CudaRequest& request) {
  const LayerNormOp op = read_layer_norm_backward(request);
  const int rows = static_cast<int>(op.rows), columns = static_cast<int>(op.columns);
  if (op.outputs.dgamma || op.outputs.dbeta) request.reserve_scratch(layer_norm_backward_workspace(rows, columns) * 4);
  return by_dtype(op.dtype, [=](auto zero) -> Launch {
    using T = decltype(zero);
    return [=](const Operands& operands, const LaunchContext& context) {
      LayerNormBackward<T> p{};
      p.rows = rows, p.columns = columns;
      p.dy = data<const T>(operands.inputs[0]), p.x = data<const T>(operands.inputs[1]);
      p.gamma = data<const float>(operands.inputs[2]), p.stats = data<const float>(operands.inputs[3]);
      if (op.outputs.dx) p.dx = data<T>(operands.outputs[0]);
      if (op.outputs.dgamma) p.dgamma = data<float>(operands.outputs[1]);
      if (op.outputs.dbeta) p.dbeta = data<float>(operands.outputs[2]);
      p.workspace = static_cast<float*>(context.scratch);
      launch_layer_norm_backward(p, context.stream);
    };
  });
}

LORIKEET_REGISTER_CUDA_KERNEL("layer_norm", make_layer_norm);
LORIKEET_REGISTER_CUDA_KERNEL("layer_norm_backward", make_layer_norm_backward);

}  // namespace
}  // namespace LORIKEET_CUDA
