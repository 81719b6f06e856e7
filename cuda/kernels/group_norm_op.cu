#include "../../native/core/ops/norms.h"
#include "../op.h"
#include "group_norm.h"
#include "group_norm_backward.h"

namespace LORIKEET_CUDA {
namespace {

template <class Problem>
Problem problem_of(const GroupNormOp& op) {
  Problem p{};
  p.samples = static_cast<int>(op.samples), p.rows = static_cast<int>(op.rows);
  p.channels = static_cast<int>(op.channels), p.groups = static_cast<int>(op.groups);
  p.silu = op.silu;
  return p;
}

Launch make_group_norm(const CudaRequest& request) {
  const GroupNormOp op = read_group_norm(request);
  const GroupNorm<float> sizes = problem_of<GroupNorm<float>>(op);
  request.reserve_scratch(group_norm_workspace(sizes.samples, sizes.rows, sizes.groups) * 4);
  return by_dtype(op.dtype, [=](auto zero) -> Launch {
    using T = decltype(zero);
    return [=](const Operands& operands, const LaunchContext& context) {
      GroupNorm<T> p = problem_of<GroupNorm<T>>(op);
      p.eps = static_cast<float>(op.eps);
      p.x = data<const T>(operands.inputs[0]);
      p.gamma = data<const float>(operands.inputs[1]), p.beta = data<const float>(operands.inputs[2]);
      if (op.has_shift) p.shift = data<const T>(operands.inputs[3]);
      p.y = data<T>(operands.outputs[0]), p.stats = data<float>(operands.outputs[1]);
      p.workspace = static_cast<float*>(context.scratch);
      launch_group_norm(p, context.stream);
    };
  });
}

Launch make_group_norm_backward(const CudaRequest& request) {
  const GroupNormOp op = read_group_norm_backward(request);
  const GroupNorm<float> sizes = problem_of<GroupNorm<float>>(op);
  const bool wants_sums = op.outputs.dgamma || op.outputs.dbeta;
  request.reserve_scratch(
      group_norm_backward_workspace(sizes.samples, sizes.rows, sizes.channels, sizes.groups, wants_sums) * 4);
  return by_dtype(op.dtype, [=](auto zero) -> Launch {
    using T = decltype(zero);
    return [=](const Operands& operands, const LaunchContext& context) {
      GroupNormBackward<T> p = problem_of<GroupNormBackward<T>>(op);
      p.dy = data<const T>(operands.inputs[0]), p.x = data<const T>(operands.inputs[1]);
      p.gamma = data<const float>(operands.inputs[2]), p.beta = data<const float>(operands.inputs[3]);
      if (op.has_shift) p.shift = data<const T>(operands.inputs[4]);
      p.stats = data<const float>(operands.inputs[5]);
      if (op.outputs.dx) p.dx = data<T>(operands.outputs[0]);
      if (op.outputs.dgamma) p.dgamma = data<float>(operands.outputs[1]);
      if (op.outputs.dbeta) p.dbeta = data<float>(operands.outputs[2]);
      p.workspace = static_cast<float*>(context.scratch);
      launch_group_norm_backward(p, context.stream);
    };
  });
}

LORIKEET_REGISTER_CUDA_KERNEL("group_norm", make_group_norm);
LORIKEET_REGISTER_CUDA_KERNEL("group_norm_backward", make_group_norm_backward);

}  // namespace
}  // namespace LORIKEET_CUDA
