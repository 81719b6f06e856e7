#include "elementwise.h"

#include "../checks.h"

namespace lorikeet {

void check_add(const OpRequest& request) {
  expect_operands(request, {"a", "b"}, {"y"});
  const TensorSpec& a = request.inputs[0];
  expect_compute_dtype(request, "a", a);
  expect_dtype(request, "b", request.inputs[1], {a.dtype});
  expect_dtype(request, "y", request.outputs[0], {a.dtype});
  expect_shape(request, "b", request.inputs[1], a.shape, "a", a);
  expect_shape(request, "y", request.outputs[0], a.shape, "a", a);
}

void check_cast(const OpRequest& request) {
  expect_operands(request, {"x"}, {"y"});
  const TensorSpec& x = request.inputs[0];
  expect_compute_dtype(request, "x", x);
  expect_compute_dtype(request, "y", request.outputs[0]);
  expect_shape(request, "y", request.outputs[0], x.shape, "x", x);
}

void check_ema(const OpRequest& request) {
  expect_operands(request, {"params", "average"}, {"average"});
  const TensorSpec& params = request.inputs[0];
  expect_dtype(request, "params", params, {DType::f32});
  expect_dtype(request, "average", request.inputs[1], {DType::f32});
  expect_shape(request, "average", request.inputs[1], params.shape, "params", params);
  expect_in_place(request, "average", 1, 0);
}

void check_mix(const OpRequest& request) {
  expect_operands(request, {"a", "b", "ca", "cb"}, {"y"});
  const TensorSpec& a = request.inputs[0];
  const TensorSpec& y = request.outputs[0];
  const char* names[] = {"a", "b", "ca", "cb"};
  const int64_t batch = batch_of(request, "a", a);
  for (size_t i = 0; i < 4; i++) {
    expect_dtype(request, names[i], request.inputs[i], {DType::f32});
    expect_shape(request, names[i], request.inputs[i], i < 2 ? a.shape : Shape{batch}, "a", a);
  }
  expect_compute_dtype(request, "y", y);
  expect_shape(request, "y", y, a.shape, "a", a);
}

}  // namespace lorikeet
