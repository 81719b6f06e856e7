#include "rms_norm.h"

#include "../checks.h"

namespace lorikeet {
namespace {

// A tensor like x.
void expect_like(const OpRequest& request, const char* name, const TensorSpec& spec, const TensorSpec& x) {
  expect_dtype(request, name, spec, {x.dtype});
  expect_shape(request, name, spec, x.shape, "x", x);
}

RmsNormOp read_geometry(const OpRequest& request, const TensorSpec& x, const TensorSpec& weight,
                        const TensorSpec& stats) {
  expect_compute_dtype(request, "x", x);
  expect_dtype(request, "weight", weight, {DType::f32});
  expect_shape(request, "weight", weight, {columns_of(x)}, "x", x);
  expect_dtype(request, "stats", stats, {DType::f32});
  expect_shape(request, "stats", stats, {rows_of(x)}, "x", x);
  RmsNormOp op;
  op.dtype = x.dtype;
  op.rows = rows_of(x);
  op.columns = columns_of(x);
  return op;
}

}  // namespace

RmsNormOp read_rms_norm(const OpRequest& request) {
  expect_operands(request, {"x", "weight"}, {"y", "stats"});
  RmsNormOp op = read_geometry(request, request.inputs[0], request.inputs[1], request.outputs[1]);
  expect_like(request, "y", request.outputs[0], request.inputs[0]);
  op.eps = request.instruction.number("eps");
  return op;
}

RmsNormOp read_rms_norm_backward(const OpRequest& request) {
  expect_operands(request, {"dy", "x", "weight", "stats"}, {"dx?", "dweight?"});
  const TensorSpec& x = request.inputs[1];
  RmsNormOp op = read_geometry(request, x, request.inputs[2], request.inputs[3]);
  expect_like(request, "dy", request.inputs[0], x);
  op.dx = request.has_output(0);
  op.dweight = request.has_output(1);
  if (op.dx) expect_like(request, "dx", request.outputs[0], x);
  if (op.dweight) {
    expect_accumulator(request, "dweight", request.outputs[1]);
    expect_shape(request, "dweight", request.outputs[1], {op.columns}, "x", x);
  }
  return op;
}

}  // namespace lorikeet
