#include "rotary_embedding.h"

#include "../checks.h"

namespace lorikeet {

RotaryEmbeddingOp read_rotary_embedding(const OpRequest& request) {
  expect_operands(request, {"x", "cos", "sin"}, {"y"});
  const TensorSpec& x = request.inputs[0];
  const TensorSpec& cos = request.inputs[1];
  const TensorSpec& sin = request.inputs[2];
  const TensorSpec& y = request.outputs[0];
  expect_compute_dtype(request, "x", x);
  expect_dtype(request, "cos", cos, {DType::f32});
  expect_dtype(request, "sin", sin, {DType::f32});
  require(x.shape.size() >= 3, "rotary_embedding: x has shape ", to_string(x.shape), ", expected [N, T, .., C]");
  RotaryEmbeddingOp op;
  op.dtype = x.dtype;
  op.samples = x.shape[0], op.tokens = x.shape[1], op.pairs = columns_of(cos);
  expect_shape(request, "cos", cos, {op.tokens, op.pairs}, "x", x);
  expect_shape(request, "sin", sin, cos.shape, "cos", cos);
  require(op.pairs > 0 && columns_of(x) % (2 * op.pairs) == 0, "rotary_embedding: the columns of x ",
          to_string(x.shape), " are not heads of ", 2 * op.pairs);
  expect_dtype(request, "y", y, {x.dtype});
  expect_shape(request, "y", y, x.shape, "x", x);
  op.columns = elements_of(Shape(x.shape.begin() + 2, x.shape.end()));
  op.inverse = request.instruction.integer("inverse") != 0;
  return op;
}

}  // namespace lorikeet
