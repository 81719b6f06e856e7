// linear_input_grad: dx = dy w + Σ dh_a down_a.
#include "../../core/checks.h"
#include "../linear_layer.h"

namespace lorikeet::cpu {
namespace {

std::unique_ptr<Kernel> make_input_grad(const KernelRequest& request) {
  require(request.has_input(0) && request.has_input(1) && request.has_output(0),
          "linear_input_grad: dy, w or dx is absent");
  const TensorSpec& dy = request.inputs[0];
  const TensorSpec& w = request.inputs[1];
  expect_compute_dtype(request, "dy", dy);
  expect_dtype(request, "w", w, {dy.dtype});
  expect_dtype(request, "dx", request.outputs[0], {dy.dtype});
  const int64_t n = columns_of(dy);
  require(w.shape.size() == 2 && w.shape[0] == n, "linear_input_grad: w has shape ", to_string(w.shape),
          ", dy has shape ", to_string(dy.shape), ": w's first and dy's last extent must agree");
  expect_shape(request, "dx", request.outputs[0], with_columns(dy.shape, w.shape[1]), "dy", dy);
  return make_linear_input_grad(request, rows_of(dy), n, w.shape[1], dy.dtype);
}

LORIKEET_REGISTER_CPU_KERNEL("linear_input_grad", make_input_grad);

}  // namespace
}  // namespace lorikeet::cpu
