#include "columns.h"

#include "../checks.h"

namespace lorikeet {

void check_concat(const OpRequest& request) {
  expect_operands(request, {"a", "b"}, {"y"});
  const TensorSpec& a = request.inputs[0];
  const TensorSpec& b = request.inputs[1];
  const TensorSpec& y = request.outputs[0];
  expect_dtype(request, "b", b, {a.dtype});
  expect_dtype(request, "y", y, {a.dtype});
  expect_shape(request, "b", b, with_columns(a.shape, columns_of(b)), "a", a);
  expect_shape(request, "y", y, with_columns(a.shape, columns_of(a) + columns_of(b)), "a", a);
}

// The attribute start: `part` is as many columns of `whole` from there on.
static int64_t read_start(const OpRequest& request, const TensorSpec& part, const TensorSpec& whole,
                          const char* whole_name) {
  const int64_t start = request.instruction.integer("start"), columns = columns_of(part);
  require(start >= 0 && start <= columns_of(whole) - columns, request.instruction.op, ": columns ", start, " .. ",
          start + columns, " lie outside ", whole_name, " ", to_string(whole.shape));
  return start;
}

int64_t read_slice_start(const OpRequest& request) {
  expect_operands(request, {"x"}, {"y"});
  const TensorSpec& x = request.inputs[0];
  const TensorSpec& y = request.outputs[0];
  expect_dtype(request, "y", y, {x.dtype});
  expect_shape(request, "y", y, with_columns(x.shape, columns_of(y)), "x", x);
  return read_start(request, y, x, "x");
}

int64_t read_slice_backward_start(const OpRequest& request) {
  expect_operands(request, {"dy"}, {"dx"});
  const TensorSpec& dy = request.inputs[0];
  const TensorSpec& dx = request.outputs[0];
  expect_dtype(request, "dx", dx, {dy.dtype});
  expect_shape(request, "dx", dx, with_columns(dy.shape, columns_of(dx)), "dy", dy);
  return read_start(request, dy, dx, "dx");
}

}  // namespace lorikeet
