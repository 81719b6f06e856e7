#include "modulate.h"

#include "../checks.h"

namespace lorikeet {
namespace {

PerSample read_geometry(const OpRequest& request, const char* name, const TensorSpec& x) {
  expect_compute_dtype(request, name, x);
  require(x.shape.size() >= 2, request.instruction.op, ": ", name, " has shape ", to_string(x.shape),
          ", expected [N, .., C]");
  const int64_t samples = x.shape[0];
  return {x.dtype, samples, samples == 0 ? 0 : rows_of(x) / samples, columns_of(x)};
}

void expect_like(const OpRequest& request, const char* name, const TensorSpec& spec, const char* from_name,
                 const TensorSpec& from) {
  expect_dtype(request, name, spec, {from.dtype});
  expect_shape(request, name, spec, from.shape, from_name, from);
}

void expect_vector(const OpRequest& request, const char* name, const TensorSpec& spec, const char* from_name,
                   const TensorSpec& from) {
  expect_dtype(request, name, spec, {from.dtype});
  expect_shape(request, name, spec, {from.shape[0], columns_of(from)}, from_name, from);
}

// Names of the second and third input and of the outputs.
ModulateBackwardOp read_backward(const OpRequest& request, const char* x, const char* scale, const char* dx,
                                 const char* dscale) {
  const TensorSpec& dy = request.inputs[0];
  ModulateBackwardOp op;
  static_cast<PerSample&>(op) = read_geometry(request, "dy", dy);
  op.dx = request.has_output(0), op.dscale = request.has_output(1), op.dshift = request.has_output(2);
  require(request.has_input(1) || !op.dscale, request.instruction.op, ": ", dscale, " needs ", x);
  if (request.has_input(1)) expect_like(request, x, request.inputs[1], "dy", dy);
  expect_vector(request, scale, request.inputs[2], "dy", dy);
  if (op.dx) expect_like(request, dx, request.outputs[0], "dy", dy);
  if (op.dscale) expect_vector(request, dscale, request.outputs[1], "dy", dy);
  if (op.dshift) expect_vector(request, "dshift", request.outputs[2], "dy", dy);
  return op;
}

}  // namespace

PerSample read_modulate(const OpRequest& request) {
  expect_operands(request, {"x", "scale", "shift"}, {"y"});
  const TensorSpec& x = request.inputs[0];
  const PerSample op = read_geometry(request, "x", x);
  expect_vector(request, "scale", request.inputs[1], "x", x);
  expect_vector(request, "shift", request.inputs[2], "x", x);
  expect_like(request, "y", request.outputs[0], "x", x);
  return op;
}

PerSample read_gate(const OpRequest& request) {
  expect_operands(request, {"x", "z", "gate"}, {"y"});
  const TensorSpec& x = request.inputs[0];
  const PerSample op = read_geometry(request, "x", x);
  expect_like(request, "z", request.inputs[1], "x", x);
  expect_vector(request, "gate", request.inputs[2], "x", x);
  expect_like(request, "y", request.outputs[0], "x", x);
  return op;
}

ModulateBackwardOp read_modulate_backward(const OpRequest& request) {
  expect_operands(request, {"dy", "x?", "scale"}, {"dx?", "dscale?", "dshift?"});
  ModulateBackwardOp op = read_backward(request, "x", "scale", "dx", "dscale");
  op.plus = 1;
  return op;
}

ModulateBackwardOp read_gate_backward(const OpRequest& request) {
  expect_operands(request, {"dy", "z?", "gate"}, {"dz?", "dgate?"});
  return read_backward(request, "z", "gate", "dz", "dgate");
}

}  // namespace lorikeet
