#include "../op.h"
#include "group_norm.h"
#include "group_norm_backward.h"

namespace LORIKEET_CUDA {
namespace {

struct Geometry {
  DType dtype;
  int samples, rows, channels, groups;
  bool silu;
};

// Reads the attributes and the shapes of x, gamma and beta, which follow one another from `x_input` on, and of shift.
Geometry read_geometry(const CudaRequest& request, size_t x_input, size_t shift_input) {
  const std::string& op = request.instruction.op;
  const TensorSpec& x = request.inputs[x_input];
  expect_compute_dtype(request, "x", x);
  const int64_t samples = batch_of(request, "x", x), channels = columns_of(x);
  require(x.shape.size() >= 2, op, ": x has shape ", to_string(x.shape), ", expected [N, .., C]");
  const int64_t groups = request.instruction.integer("groups");
  require(groups > 0 && channels % groups == 0, op, ": ", channels, " channels cannot be divided into ", groups,
          " groups");
  const std::string& activation = request.instruction.text("activation");
  require(activation == "none" || activation == "silu", op, ": activation '", activation, "' must be 'none' or 'silu'");
  for (const auto& [i, name] : {std::pair(x_input + 1, "gamma"), std::pair(x_input + 2, "beta")}) {
    expect_dtype(request, name, request.inputs[i], {DType::f32});
    expect_shape(request, name, request.inputs[i], {channels}, "x", x);
  }
  if (request.has_input(shift_input)) {
    expect_dtype(request, "shift", request.inputs[shift_input], {x.dtype});
    expect_shape(request, "shift", request.inputs[shift_input], {samples, channels}, "x", x);
  }
  Geometry g;
  g.dtype = x.dtype;
  g.samples = static_cast<int>(samples);
  g.rows = samples == 0 ? 0 : static_cast<int>(rows_of(x) / samples);
  g.channels = static_cast<int>(channels);
  g.groups = static_cast<int>(groups);
  g.silu = activation == "silu";
  return g;
}

Launch make_group_norm(const CudaRequest& request) {
  expect_operands(request, {"x", "gamma", "beta", "shift?"}, {"y", "stats"});
  const Geometry g = read_geometry(request, 0, 3);
  const TensorSpec& x = request.inputs[0];
  expect_dtype(request, "y", request.outputs[0], {g.dtype});
  expect_shape(request, "y", request.outputs[0], x.shape, "x", x);
  expect_dtype(request, "stats", request.outputs[1], {DType::f32});
  expect_shape(request, "stats", request.outputs[1], {g.samples, g.groups, 2}, "x", x);
  const float eps = static_cast<float>(request.instruction.number("eps"));
  const bool has_shift = request.has_input(3);
  request.reserve_scratch(group_norm_workspace(g.samples, g.rows, g.groups) * 4);
  return by_dtype(g.dtype, [=](auto zero) -> Launch {
    using T = decltype(zero);
    return [=](const Operands& operands, const LaunchContext& context) {
      const std::vector<Tensor>& in = operands.inputs;
      launch_group_norm<T>(
          {g.samples, g.rows, g.channels, g.groups, eps, g.silu, data<const T>(in[0]), data<const float>(in[1]),
           data<const float>(in[2]), has_shift ? data<const T>(in[3]) : nullptr, data<T>(operands.outputs[0]),
           data<float>(operands.outputs[1]), static_cast<float*>(context.scratch)},
          context.stream);
    };
  });
}

Launch make_group_norm_backward(const CudaRequest& request) {
  expect_operands(request, {"dy", "x", "gamma", "beta", "shift?", "stats"}, {"dx?", "dgamma?", "dbeta?"});
  const Geometry g = read_geometry(request, 1, 4);
  const TensorSpec& x = request.inputs[1];
  expect_dtype(request, "dy", request.inputs[0], {g.dtype});
  expect_shape(request, "dy", request.inputs[0], x.shape, "x", x);
  expect_dtype(request, "stats", request.inputs[5], {DType::f32});
  expect_shape(request, "stats", request.inputs[5], {g.samples, g.groups, 2}, "x", x);
  if (request.has_output(0)) {
    expect_dtype(request, "dx", request.outputs[0], {g.dtype});
    expect_shape(request, "dx", request.outputs[0], x.shape, "x", x);
  }
  for (size_t i = 1; i < 3; i++) {
    if (!request.has_output(i)) continue;
    expect_accumulator(request, i == 1 ? "dgamma" : "dbeta", request.outputs[i]);
    expect_shape(request, i == 1 ? "dgamma" : "dbeta", request.outputs[i], {g.channels}, "x", x);
  }
  const bool has_shift = request.has_input(4);
  const bool has[] = {request.has_output(0), request.has_output(1), request.has_output(2)};
  request.reserve_scratch(
      group_norm_backward_workspace(g.samples, g.rows, g.channels, g.groups, has[1] || has[2]) * 4);
  return by_dtype(g.dtype, [=](auto zero) -> Launch {
    using T = decltype(zero);
    return [=](const Operands& operands, const LaunchContext& context) {
      const std::vector<Tensor>& in = operands.inputs;
      const std::vector<Tensor>& out = operands.outputs;
      launch_group_norm_backward<T>(
          {g.samples, g.rows, g.channels, g.groups, g.silu, data<const T>(in[0]), data<const T>(in[1]),
           data<const float>(in[2]), data<const float>(in[3]), has_shift ? data<const T>(in[4]) : nullptr,
           data<const float>(in[5]), has[0] ? data<T>(out[0]) : nullptr, has[1] ? data<float>(out[1]) : nullptr,
           has[2] ? data<float>(out[2]) : nullptr, static_cast<float*>(context.scratch)},
          context.stream);
    };
  });
}

LORIKEET_REGISTER_CUDA_KERNEL("group_norm", make_group_norm);
LORIKEET_REGISTER_CUDA_KERNEL("group_norm_backward", make_group_norm_backward);

}  // namespace
}  // namespace LORIKEET_CUDA
