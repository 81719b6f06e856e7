#include "sum_rows.h"

#include "../checks.h"

namespace lorikeet {

SumRowsOp read_sum_rows(const OpRequest& request) {
  expect_operands(request, {"x"}, {"y"});
  const TensorSpec& x = request.inputs[0];
  const TensorSpec& y = request.outputs[0];
  SumRowsOp op;
  op.groups = request.instruction.integer("groups");
  op.columns = columns_of(x);
  op.add = y.space == Space::buffer;
  expect_compute_dtype(request, "x", x);
  require(op.groups >= 1 && rows_of(x) % op.groups == 0, "sum_rows: the rows of x ", to_string(x.shape),
          " do not split into ", op.groups, " equal groups");
  op.rows = rows_of(x) / op.groups;
  if (op.add) {
    expect_accumulator(request, "y", y);
    require(op.groups == 1, "sum_rows: y ", to_string(y.shape), " lies in a buffer, so groups must be 1, not ",
            op.groups);
    expect_shape(request, "y", y, {op.columns}, "x", x);
  } else {
    expect_dtype(request, "y", y, {x.dtype, DType::f32});
    expect_shape(request, "y", y, {op.groups, op.columns}, "x", x);
  }
  return op;
}

}  // namespace lorikeet
