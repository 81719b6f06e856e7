#include "linear.h"

#include "../checks.h"

namespace lorikeet {

LinearOp read_linear(const OpRequest& request) {
  require(request.has_input(0) && request.has_input(1) && request.has_output(0), "linear: x, w or y is absent");
  const TensorSpec& x = request.inputs[0];
  const TensorSpec& w = request.inputs[1];
  expect_compute_dtype(request, "x", x);
  expect_dtype(request, "w", w, {x.dtype});
  expect_dtype(request, "y", request.outputs[0], {x.dtype});
  const int64_t k = columns_of(x);
  require(w.shape.size() == 2 && w.shape[1] == k, "linear: w has shape ", to_string(w.shape), ", x has shape ",
          to_string(x.shape), ": their last extents must agree");
  const int64_t n = w.shape[0];
  expect_shape(request, "y", request.outputs[0], with_columns(x.shape, n), "x", x);
  if (request.has_input(2)) {
    expect_dtype(request, "bias", request.inputs[2], {DType::f32});
    expect_shape(request, "bias", request.inputs[2], {n}, "w", w);
  }
  require(n > 0 && k > 0, "linear: the weight ", to_string(w.shape), " is empty");
  return {rows_of(x), n, k, x.dtype, read_low_rank(request, 3, {k}, x.dtype)};
}

size_t read_gradient_adapters(const OpRequest& request) {
  const Instruction& instruction = request.instruction;
  const int64_t adapters = instruction.has("adapters") ? instruction.integer("adapters") : 0;
  require(adapters >= 0 && instruction.inputs.size() == 2 + 2 * static_cast<size_t>(adapters), instruction.op, ": ",
          adapters, " adapters need ", 2 + 2 * adapters, " inputs, got ", instruction.inputs.size());
  const size_t count = static_cast<size_t>(adapters);
  for (size_t a = 0; a < count; a++) {
    require(request.has_input(2 + a) && request.has_input(2 + count + a), instruction.op, ": dh_", a, " or down_", a,
            " is absent");
  }
  return count;
}

LinearInputGradOp read_linear_input_grad(const OpRequest& request) {
  require(request.has_input(0) && request.has_input(1) && request.has_output(0),
          "linear_input_grad: dy, w or dx is absent");
  const TensorSpec& dy = request.inputs[0];
  const TensorSpec& w = request.inputs[1];
  expect_compute_dtype(request, "dy", dy);
  expect_dtype(request, "w", w, {dy.dtype});
  expect_dtype(request, "dx", request.outputs[0], {dy.dtype});
  LinearInputGradOp result;
  result.rows = rows_of(dy);
  result.n = columns_of(dy);
  result.dtype = dy.dtype;
  require(w.shape.size() == 2 && w.shape[0] == result.n, "linear_input_grad: w has shape ", to_string(w.shape),
          ", dy has shape ", to_string(dy.shape), ": w's first and dy's last extent must agree");
  result.k = w.shape[1];
  expect_shape(request, "dx", request.outputs[0], with_columns(dy.shape, result.k), "dy", dy);
  require(result.n > 0 && result.k > 0, "linear_input_grad: the weight ", to_string(w.shape), " is empty");
  const size_t adapters = read_gradient_adapters(request);
  for (size_t a = 0; a < adapters; a++) {
    const TensorSpec& dh = request.inputs[2 + a];
    const TensorSpec& down = request.inputs[2 + adapters + a];
    const int64_t rank = columns_of(dh);
    expect_dtype(request, "dh", dh, {dy.dtype});
    expect_dtype(request, "down", down, {dy.dtype});
    require(rows_of(dh) == result.rows || rank == 0, "linear_input_grad: dh_", a, " ", to_string(dh.shape),
            " does not have ", result.rows, " rows");
    require(down.shape == Shape{rank, result.k}, "linear_input_grad: down_", a, " ", to_string(down.shape),
            " does not fit dh of ", rank, " columns and ", result.k, " columns of dx");
    result.ranks.push_back(rank);
  }
  return result;
}

LinearWeightGradOp read_linear_weight_grad(const OpRequest& request) {
  expect_operands(request, {"dy", "x"}, {"dw"});
  const Instruction& instruction = request.instruction;
  const TensorSpec& dy = request.inputs[0];
  const TensorSpec& x = request.inputs[1];
  const TensorSpec& dw = request.outputs[0];
  expect_compute_dtype(request, "dy", dy);
  expect_dtype(request, "x", x, {dy.dtype});
  expect_accumulator(request, "dw", dw);
  require(dw.shape.size() == 2, "linear_weight_grad: dw has shape ", to_string(dw.shape), ", expected two extents");
  LinearWeightGradOp result;
  result.rows = rows_of(dy);
  result.n = dw.shape[0];
  result.k = dw.shape[1];
  result.dtype = dy.dtype;
  result.y_column = instruction.has("y_column") ? instruction.integer("y_column") : 0;
  result.x_column = instruction.has("x_column") ? instruction.integer("x_column") : 0;
  result.y_row = columns_of(dy);
  result.x_row = columns_of(x);
  result.scale = instruction.has("scale") ? static_cast<float>(instruction.number("scale")) : 1.0f;
  require(result.y_column >= 0 && result.x_column >= 0 && result.y_column + result.n <= result.y_row &&
              result.x_column + result.k <= result.x_row,
          "linear_weight_grad: dw ", to_string(dw.shape), " does not fit columns from ", result.y_column, " of dy ",
          to_string(dy.shape), " and from ", result.x_column, " of x ", to_string(x.shape));
  require(result.rows == rows_of(x), "linear_weight_grad: dy ", to_string(dy.shape), " and x ", to_string(x.shape),
          " differ in their number of rows");
  return result;
}

}  // namespace lorikeet
