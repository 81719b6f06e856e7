#include "norms.h"

#include "../checks.h"

namespace lorikeet {
namespace {

// gamma, beta: f32, a number for each column of x.
void expect_parameter(const OpRequest& request, const char* name, const TensorSpec& spec, const TensorSpec& x) {
  expect_dtype(request, name, spec, {DType::f32});
  expect_shape(request, name, spec, {columns_of(x)}, "x", x);
}

void expect_stats(const OpRequest& request, const TensorSpec& stats, const Shape& shape, const TensorSpec& x) {
  expect_dtype(request, "stats", stats, {DType::f32});
  expect_shape(request, "stats", stats, shape, "x", x);
}

// A tensor like x.
void expect_image(const OpRequest& request, const char* name, const TensorSpec& spec, const TensorSpec& x) {
  expect_dtype(request, name, spec, {x.dtype});
  expect_shape(request, name, spec, x.shape, "x", x);
}

NormOutputs read_outputs(const OpRequest& request, const TensorSpec& x) {
  if (request.has_output(0)) expect_image(request, "dx", request.outputs[0], x);
  for (size_t i = 1; i < 3; i++) {
    if (!request.has_output(i)) continue;
    expect_accumulator(request, i == 1 ? "dgamma" : "dbeta", request.outputs[i]);
    expect_shape(request, i == 1 ? "dgamma" : "dbeta", request.outputs[i], {columns_of(x)}, "x", x);
  }
  return {request.has_output(0), request.has_output(1), request.has_output(2)};
}

// x, gamma and beta follow one another from input `first` on.
GroupNormOp read_group_geometry(const OpRequest& request, size_t first, size_t shift_input) {
  const std::string& name = request.instruction.op;
  const TensorSpec& x = request.inputs[first];
  expect_compute_dtype(request, "x", x);
  GroupNormOp op;
  op.dtype = x.dtype;
  op.samples = batch_of(request, "x", x);
  op.channels = columns_of(x);
  require(x.shape.size() >= 2, name, ": x has shape ", to_string(x.shape), ", expected [N, .., C]");
  op.rows = op.samples == 0 ? 0 : rows_of(x) / op.samples;
  op.groups = request.instruction.integer("groups");
  require(op.groups > 0 && op.channels % op.groups == 0, name, ": ", op.channels, " channels cannot be divided into ",
          op.groups, " groups");
  op.eps = request.instruction.number("eps");
  const std::string& activation = request.instruction.text("activation");
  require(activation == "none" || activation == "silu", name, ": activation '", activation,
          "' must be 'none' or 'silu'");
  op.silu = activation == "silu";
  expect_parameter(request, "gamma", request.inputs[first + 1], x);
  expect_parameter(request, "beta", request.inputs[first + 2], x);
  op.has_shift = request.has_input(shift_input);
  if (op.has_shift) {
    expect_dtype(request, "shift", request.inputs[shift_input], {x.dtype});
    expect_shape(request, "shift", request.inputs[shift_input], {op.samples, op.channels}, "x", x);
  }
  return op;
}

}  // namespace

LayerNormOp read_layer_norm(const OpRequest& request) {
  expect_operands(request, {"x", "gamma?", "beta?"}, {"y", "stats"});
  const TensorSpec& x = request.inputs[0];
  expect_compute_dtype(request, "x", x);
  if (request.has_input(1)) expect_parameter(request, "gamma", request.inputs[1], x);
  if (request.has_input(2)) expect_parameter(request, "beta", request.inputs[2], x);
  expect_image(request, "y", request.outputs[0], x);
  expect_stats(request, request.outputs[1], {rows_of(x), 2}, x);
  return {x.dtype, rows_of(x), columns_of(x), request.instruction.number("eps"), {}};
}

LayerNormOp read_layer_norm_backward(const OpRequest& request) {
  expect_operands(request, {"dy", "x", "gamma?", "stats"}, {"dx?", "dgamma?", "dbeta?"});
  const TensorSpec& x = request.inputs[1];
  expect_compute_dtype(request, "x", x);
  expect_image(request, "dy", request.inputs[0], x);
  if (request.has_input(2)) expect_parameter(request, "gamma", request.inputs[2], x);
  expect_stats(request, request.inputs[3], {rows_of(x), 2}, x);
  return {x.dtype, rows_of(x), columns_of(x), 0, read_outputs(request, x)};
}

GroupNormOp read_group_norm(const OpRequest& request) {
  expect_operands(request, {"x", "gamma", "beta", "shift?"}, {"y", "stats"});
  const GroupNormOp op = read_group_geometry(request, 0, 3);
  const TensorSpec& x = request.inputs[0];
  expect_image(request, "y", request.outputs[0], x);
  expect_stats(request, request.outputs[1], {op.samples, op.groups, 2}, x);
  return op;
}

GroupNormOp read_group_norm_backward(const OpRequest& request) {
  expect_operands(request, {"dy", "x", "gamma", "beta", "shift?", "stats"}, {"dx?", "dgamma?", "dbeta?"});
  GroupNormOp op = read_group_geometry(request, 1, 4);
  const TensorSpec& x = request.inputs[1];
  expect_image(request, "dy", request.inputs[0], x);
  expect_stats(request, request.inputs[5], {op.samples, op.groups, 2}, x);
  op.outputs = read_outputs(request, x);
  return op;
}

}  // namespace lorikeet
