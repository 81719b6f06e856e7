#include "../op.h"
#include "layer_norm.h"
#include "layer_norm_backward.h"

namespace LORIKEET_CUDA {
namespace {

void expect_parameter(const CudaRequest& request, const char* name, const TensorSpec& spec, const TensorSpec& x) {
  expect_dtype(request, name, spec, {DType::f32});
  expect_shape(request, name, spec, {columns_of(x)}, "x", x);
}

Launch make_layer_norm(const CudaRequest& request) {
  expect_operands(request, {"x", "gamma", "beta"}, {"y", "stats"});
  const TensorSpec& x = request.inputs[0];
  expect_compute_dtype(request, "x", x);
  expect_parameter(request, "gamma", request.inputs[1], x);
  expect_parameter(request, "beta", request.inputs[2], x);
  expect_dtype(request, "y", request.outputs[0], {x.dtype});
  expect_shape(request, "y", request.outputs[0], x.shape, "x", x);
  expect_dtype(request, "stats", request.outputs[1], {DType::f32});
  expect_shape(request, "stats", request.outputs[1], {rows_of(x), 2}, "x", x);
  const int rows = static_cast<int>(rows_of(x)), columns = static_cast<int>(columns_of(x));
  const float eps = static_cast<float>(request.instruction.number("eps"));
  return by_dtype(x.dtype, [=](auto zero) -> Launch {
    using T = decltype(zero);
    return [=](const Operands& operands, const LaunchContext& context) {
      launch_layer_norm<T>({rows, columns, eps, data<const T>(operands.inputs[0]),
                            data<const float>(operands.inputs[1]), data<const float>(operands.inputs[2]),
                            data<T>(operands.outputs[0]), data<float>(operands.outputs[1])},
                           context.stream);
    };
  });
}

Launch make_layer_norm_backward(const CudaRequest& request) {
  expect_operands(request, {"dy", "x", "gamma", "stats"}, {"dx?", "dgamma?", "dbeta?"});
  const TensorSpec& x = request.inputs[1];
  expect_compute_dtype(request, "x", x);
  expect_dtype(request, "dy", request.inputs[0], {x.dtype});
  expect_shape(request, "dy", request.inputs[0], x.shape, "x", x);
  expect_parameter(request, "gamma", request.inputs[2], x);
  expect_dtype(request, "stats", request.inputs[3], {DType::f32});
  expect_shape(request, "stats", request.inputs[3], {rows_of(x), 2}, "x", x);
  if (request.has_output(0)) {
    expect_dtype(request, "dx", request.outputs[0], {x.dtype});
    expect_shape(request, "dx", request.outputs[0], x.shape, "x", x);
  }
  for (size_t i = 1; i < 3; i++) {
    if (!request.has_output(i)) continue;
    expect_accumulator(request, i == 1 ? "dgamma" : "dbeta", request.outputs[i]);
    expect_shape(request, i == 1 ? "dgamma" : "dbeta", request.outputs[i], {columns_of(x)}, "x", x);
  }
  const int rows = static_cast<int>(rows_of(x)), columns = static_cast<int>(columns_of(x));
  const bool has[] = {request.has_output(0), request.has_output(1), request.has_output(2)};
  if (has[1] || has[2]) request.reserve_scratch(layer_norm_backward_workspace(rows, columns) * 4);
  return by_dtype(x.dtype, [=](auto zero) -> Launch {
    using T = decltype(zero);
    return [=](const Operands& operands, const LaunchContext& context) {
      const std::vector<Tensor>& in = operands.inputs;
      const std::vector<Tensor>& out = operands.outputs;
      launch_layer_norm_backward<T>(
          {rows, columns, data<const T>(in[0]), data<const T>(in[1]), data<const float>(in[2]),
           data<const float>(in[3]), has[0] ? data<T>(out[0]) : nullptr, has[1] ? data<float>(out[1]) : nullptr,
           has[2] ? data<float>(out[2]) : nullptr, static_cast<float*>(context.scratch)},
          context.stream);
    };
  });
}

LORIKEET_REGISTER_CUDA_KERNEL("layer_norm", make_layer_norm);
LORIKEET_REGISTER_CUDA_KERNEL("layer_norm_backward", make_layer_norm_backward);

}  // namespace
}  // namespace LORIKEET_CUDA
