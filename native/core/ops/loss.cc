#include "loss.h"

#include "../checks.h"

namespace lorikeet {

static void expect_loss_inputs(const OpRequest& request) {
  const TensorSpec& pred = request.inputs[0];
  const Shape per_sample{batch_of(request, "pred", pred)};
  expect_compute_dtype(request, "pred", pred);
  expect_dtype(request, "target", request.inputs[1], {DType::f32});
  expect_shape(request, "target", request.inputs[1], pred.shape, "pred", pred);
  expect_dtype(request, "weight", request.inputs[2], {DType::f32});
  expect_shape(request, "weight", request.inputs[2], per_sample, "pred", pred);
  const std::string& kind = request.instruction.text("kind");
  if (request.has_input(3)) {
    expect_dtype(request, "huber_c", request.inputs[3], {DType::f32});
    expect_shape(request, "huber_c", request.inputs[3], per_sample, "pred", pred);
  }
  require(request.has_input(3) || (kind != "huber" && kind != "smooth_l1"), request.instruction.op, ": kind ", kind,
          " needs huber_c");
  require(elements_of(pred.shape) > 0, request.instruction.op, ": pred ", to_string(pred.shape), " is empty");
}

void check_loss(const OpRequest& request) {
  expect_operands(request, {"pred", "target", "weight", "huber_c?"}, {"per_sample", "total"});
  expect_loss_inputs(request);
  const TensorSpec& pred = request.inputs[0];
  expect_dtype(request, "per_sample", request.outputs[0], {DType::f32});
  expect_shape(request, "per_sample", request.outputs[0], {pred.shape[0]}, "pred", pred);
  expect_dtype(request, "total", request.outputs[1], {DType::f32});
  expect_shape(request, "total", request.outputs[1], {1}, "pred", pred);
}

void check_loss_backward(const OpRequest& request) {
  expect_operands(request, {"pred", "target", "weight", "huber_c?"}, {"dpred"});
  expect_loss_inputs(request);
  const TensorSpec& pred = request.inputs[0];
  expect_dtype(request, "dpred", request.outputs[0], {pred.dtype});
  expect_shape(request, "dpred", request.outputs[0], pred.shape, "pred", pred);
}

}  // namespace lorikeet
