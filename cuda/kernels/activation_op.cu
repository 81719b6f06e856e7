#include "../op.h"
#include "activation.h"

namespace LORIKEET_CUDA {
namespace {

ActivationKind read_kind(const CudaRequest& request) {
  const std::string& kind = request.instruction.text("kind");
  if (kind == "silu") return ActivationKind::silu;
  if (kind == "gelu") return ActivationKind::gelu;
  if (kind == "gelu_tanh") return ActivationKind::gelu_tanh;
  if (kind == "quick_gelu") return ActivationKind::quick_gelu;
  fail(request.instruction.op, ": kind is '", kind, "'; it must be silu, gelu, gelu_tanh or quick_gelu");
}

Launch make_activation(const CudaRequest& request) {
  expect_operands(request, {"x"}, {"y"});
  const TensorSpec& x = request.inputs[0];
  expect_compute_dtype(request, "x", x);
  expect_dtype(request, "y", request.outputs[0], {x.dtype});
  expect_shape(request, "y", request.outputs[0], x.shape, "x", x);
  const int64_t count = elements_of(x.shape);
  const ActivationKind kind = read_kind(request);
  return by_dtype(x.dtype, [=](auto zero) -> Launch {
    using T = decltype(zero);
    return [=](const Operands& operands, const LaunchContext& context) {
      launch_activation<T>({count, kind, data<const T>(operands.inputs[0]), data<T>(operands.outputs[0])},
                           context.stream);
    };
  });
}

Launch make_activation_backward(const CudaRequest& request) {
  expect_operands(request, {"dy", "x"}, {"dx"});
  const TensorSpec& dy = request.inputs[0];
  const TensorSpec& x = request.inputs[1];
  const TensorSpec& dx = request.outputs[0];
  expect_compute_dtype(request, "x", x);
  expect_dtype(request, "dy", dy, {x.dtype});
  expect_dtype(request, "dx", dx, {x.dtype});
  expect_shape(request, "dy", dy, x.shape, "x", x);
  expect_shape(request, "dx", dx, x.shape, "x", x);
  const int64_t count = elements_of(x.shape);
  const ActivationKind kind = read_kind(request);
  return by_dtype(x.dtype, [=](auto zero) -> Launch {
    using T = decltype(zero);
    return [=](const Operands& operands, const LaunchContext& context) {
      launch_activation_backward<T>({count, kind, data<const T>(operands.inputs[0]), data<const T>(operands.inputs[1]),
                                     data<T>(operands.outputs[0])},
                                    context.stream);
    };
  });
}

LORIKEET_REGISTER_CUDA_KERNEL("activation", make_activation);
LORIKEET_REGISTER_CUDA_KERNEL("activation_backward", make_activation_backward);

}  // namespace
}  // namespace LORIKEET_CUDA
