#include "geglu.h"

#include "../checks.h"

namespace lorikeet {
namespace {

// The shape of y and dy.
Shape half_of(const OpRequest& request, const TensorSpec& x) {
  require(columns_of(x) % 2 == 0, request.instruction.op, ": x ", to_string(x.shape),
          " must have an even number of columns");
  return with_columns(x.shape, columns_of(x) / 2);
}

}  // namespace

GegluOp read_geglu(const OpRequest& request) {
  expect_operands(request, {"x"}, {"y"});
  const TensorSpec& x = request.inputs[0];
  const TensorSpec& y = request.outputs[0];
  expect_compute_dtype(request, "x", x);
  const Shape half = half_of(request, x);
  expect_dtype(request, "y", y, {x.dtype});
  expect_shape(request, "y", y, half, "x", x);
  return {x.dtype, rows_of(y), columns_of(y)};
}

GegluOp read_geglu_backward(const OpRequest& request) {
  expect_operands(request, {"dy", "x"}, {"dx"});
  const TensorSpec& dy = request.inputs[0];
  const TensorSpec& x = request.inputs[1];
  const TensorSpec& dx = request.outputs[0];
  expect_compute_dtype(request, "x", x);
  const Shape half = half_of(request, x);
  expect_dtype(request, "dy", dy, {x.dtype});
  expect_dtype(request, "dx", dx, {x.dtype});
  expect_shape(request, "dy", dy, half, "x", x);
  expect_shape(request, "dx", dx, x.shape, "x", x);
  return {x.dtype, rows_of(dy), columns_of(dy)};
}

}  // namespace lorikeet
