#include "upsample_nearest.h"

#include "../checks.h"

namespace lorikeet {

static bool are_images(const TensorSpec& a, const TensorSpec& b) {
  return a.shape.size() == 4 && b.shape.size() == 4 && a.shape[0] == b.shape[0] && a.shape[3] == b.shape[3];
}

void check_upsample_nearest(const OpRequest& request) {
  expect_operands(request, {"x"}, {"y"});
  const TensorSpec& x = request.inputs[0];
  const TensorSpec& y = request.outputs[0];
  expect_dtype(request, "y", y, {x.dtype});
  require(are_images(x, y) && elements_of(x.shape) > 0, "upsample_nearest: x ", to_string(x.shape), " and y ",
          to_string(y.shape), " must be [N, H, W, C] and [N, Ho, Wo, C]");
}

void check_upsample_nearest_backward(const OpRequest& request) {
  expect_operands(request, {"dy"}, {"dx"});
  const TensorSpec& dy = request.inputs[0];
  const TensorSpec& dx = request.outputs[0];
  expect_compute_dtype(request, "dy", dy);
  expect_dtype(request, "dx", dx, {dy.dtype});
  require(are_images(dy, dx), "upsample_nearest_backward: dy ", to_string(dy.shape), " and dx ", to_string(dx.shape),
          " must be [N, Ho, Wo, C] and [N, H, W, C]");
}

}  // namespace lorikeet
