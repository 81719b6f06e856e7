#include "activation.h"

#include "../checks.h"

namespace lorikeet {
namespace {

ActivationKind read_kind(const OpRequest& request) {
  const std::string& kind = request.instruction.text("kind");
  if (kind == "silu") return ActivationKind::silu;
  if (kind == "gelu") return ActivationKind::gelu;
  if (kind == "gelu_tanh") return ActivationKind::gelu_tanh;
  if (kind == "quick_gelu") return ActivationKind::quick_gelu;
  fail(request.instruction.op, ": kind is '", kind, "'; it must be silu, gelu, gelu_tanh or quick_gelu");
}

}  // namespace

ActivationOp read_activation(const OpRequest& request) {
  expect_operands(request, {"x"}, {"y"});
  const TensorSpec& x = request.inputs[0];
  const TensorSpec& y = request.outputs[0];
  expect_compute_dtype(request, "x", x);
  expect_dtype(request, "y", y, {x.dtype});
  expect_shape(request, "y", y, x.shape, "x", x);
  return {x.dtype, elements_of(x.shape), read_kind(request)};
}

ActivationOp read_activation_backward(const OpRequest& request) {
  expect_operands(request, {"dy", "x"}, {"dx"});
  const TensorSpec& dy = request.inputs[0];
  const TensorSpec& x = request.inputs[1];
  const TensorSpec& dx = request.outputs[0];
  expect_compute_dtype(request, "x", x);
  expect_dtype(request, "dy", dy, {x.dtype});
  expect_dtype(request, "dx", dx, {x.dtype});
  expect_shape(request, "dy", dy, x.shape, "x", x);
  expect_shape(request, "dx", dx, x.shape, "x", x);
  return {x.dtype, elements_of(x.shape), read_kind(request)};
}

}  // namespace lorikeet
