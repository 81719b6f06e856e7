// linear: y = x wᵀ + bias, with adapters h = x downᵀ and y[:, c:c+n] += scale h[:, q:q+r] upᵀ. In bf16, y is rounded
// after the base product and again after each up: the ups add to the bf16 sum that is still in cache.
#include "../../core/checks.h"
#include "../linear_layer.h"

namespace lorikeet::cpu {
namespace {

std::unique_ptr<Kernel> make_linear(const KernelRequest& request) {
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
  return make_linear_forward(request, rows_of(x), n, k, x.dtype, {k});
}

LORIKEET_REGISTER_CPU_KERNEL("linear", make_linear);

}  // namespace
}  // namespace lorikeet::cpu
