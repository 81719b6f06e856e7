#include "gaussian.h"

#include "../checks.h"

namespace lorikeet {

// moments must have 2C columns of a compute dtype; returns C.
static int64_t read_channels(const OpRequest& request, const TensorSpec& moments) {
  expect_compute_dtype(request, "moments", moments);
  require(moments.shape.size() > 1 && columns_of(moments) % 2 == 0, request.instruction.op, ": moments ",
          to_string(moments.shape), " must be [N, .., 2C]");
  require(elements_of(moments.shape) > 0, request.instruction.op, ": moments ", to_string(moments.shape), " is empty");
  return columns_of(moments) / 2;
}

static void expect_like(const OpRequest& request, const char* name, const TensorSpec& spec, DType dtype,
                        const Shape& shape, const TensorSpec& moments) {
  expect_dtype(request, name, spec, {dtype});
  expect_shape(request, name, spec, shape, "moments", moments);
}

int64_t read_sample_gaussian(const OpRequest& request) {
  expect_operands(request, {"moments", "eps"}, {"z"});
  const TensorSpec& moments = request.inputs[0];
  const int64_t channels = read_channels(request, moments);
  const Shape latents = with_columns(moments.shape, channels);
  expect_like(request, "eps", request.inputs[1], DType::f32, latents, moments);
  expect_like(request, "z", request.outputs[0], moments.dtype, latents, moments);
  return channels;
}

int64_t read_sample_gaussian_backward(const OpRequest& request) {
  expect_operands(request, {"dz", "moments", "eps"}, {"dmoments"});
  const TensorSpec& moments = request.inputs[1];
  const int64_t channels = read_channels(request, moments);
  const Shape latents = with_columns(moments.shape, channels);
  expect_like(request, "dz", request.inputs[0], moments.dtype, latents, moments);
  expect_like(request, "eps", request.inputs[2], DType::f32, latents, moments);
  expect_like(request, "dmoments", request.outputs[0], moments.dtype, moments.shape, moments);
  return channels;
}

int64_t read_gaussian_kl(const OpRequest& request) {
  expect_operands(request, {"moments"}, {"per_sample", "total"});
  const TensorSpec& moments = request.inputs[0];
  const int64_t channels = read_channels(request, moments);
  expect_like(request, "per_sample", request.outputs[0], DType::f32, {moments.shape[0]}, moments);
  expect_like(request, "total", request.outputs[1], DType::f32, {1}, moments);
  return channels;
}

int64_t read_gaussian_kl_backward(const OpRequest& request) {
  expect_operands(request, {"moments"}, {"dmoments"});
  const TensorSpec& moments = request.inputs[0];
  const int64_t channels = read_channels(request, moments);
  expect_like(request, "dmoments", request.outputs[0], moments.dtype, moments.shape, moments);
  return channels;
}

}  // namespace lorikeet
