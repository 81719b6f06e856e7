#include "conv2d.h"

#include <algorithm>

#include "../checks.h"
#include "linear.h"

namespace lorikeet {

ConvGeometry ConvGeometry::turned() const {
  ConvGeometry result;
  result.n = n;
  result.h = ho();
  result.w = wo();
  result.c = o;
  result.o = c;
  result.kh = kh;
  result.kw = kw;
  result.top = kh - 1 - top;
  result.bottom = kh - 1 - bottom;
  result.left = kw - 1 - left;
  result.right = kw - 1 - right;
  return result;
}

ConvGeometry ConvGeometry::with_outputs(int64_t outputs) const {
  ConvGeometry result = *this;
  result.o = outputs;
  return result;
}

// Geometry from the shapes of the image [N, H, W, C] and the weight [O, kh, kw, C] and the attributes stride and
// padding; checks that `output` is [N, Ho, Wo, O].
static ConvGeometry read_geometry(const OpRequest& request, const TensorSpec& image, const Shape& weight,
                                  const TensorSpec& output) {
  const Instruction& instruction = request.instruction;
  const std::string& op = instruction.op;
  require(image.shape.size() == 4 && weight.size() == 4 && image.shape[3] == weight[3], op, ": the image ",
          to_string(image.shape), " [N, H, W, C] and the weight ", to_string(weight), " [O, kh, kw, C] do not fit");
  const std::vector<int64_t> padding = instruction.integers("padding");
  require(padding.size() == 4, op, ": padding must be [top, bottom, left, right]");
  ConvGeometry g;
  g.n = image.shape[0], g.h = image.shape[1], g.w = image.shape[2], g.c = image.shape[3];
  g.o = weight[0], g.kh = weight[1], g.kw = weight[2];
  g.stride = instruction.integer("stride");
  g.top = padding[0], g.bottom = padding[1], g.left = padding[2], g.right = padding[3];
  require(g.stride >= 1 && g.kh >= 1 && g.kw >= 1 && elements_of(weight) > 0 && elements_of(image.shape) > 0, op,
          ": stride ", g.stride, ", weight ", to_string(weight), " and image ", to_string(image.shape),
          " must not be empty");
  for (const int64_t pad : padding) {
    require(pad >= 0 && pad < std::max(g.kh, g.kw), op, ": padding ", pad, " is negative or not less than the window");
  }
  require(g.h + g.top + g.bottom >= g.kh && g.w + g.left + g.right >= g.kw, op,
          ": the window is larger than the padded image");
  const Shape expected = {g.n, g.ho(), g.wo(), g.o};
  require(output.shape == expected, op, ": the output has shape ", to_string(output.shape), ", expected ",
          to_string(expected));
  return g;
}

Conv2dOp read_conv2d(const OpRequest& request) {
  require(request.has_input(0) && request.has_input(1) && request.has_output(0), "conv2d: x, w or y is absent");
  const TensorSpec& x = request.inputs[0];
  const TensorSpec& w = request.inputs[1];
  expect_compute_dtype(request, "x", x);
  expect_dtype(request, "w", w, {x.dtype});
  expect_dtype(request, "y", request.outputs[0], {x.dtype});
  const ConvGeometry g = read_geometry(request, x, w.shape, request.outputs[0]);
  if (request.has_input(2)) {
    expect_dtype(request, "bias", request.inputs[2], {DType::f32});
    expect_shape(request, "bias", request.inputs[2], {g.o}, "w", w);
  }
  return {g, x.dtype, read_low_rank(request, 3, {g.kh, g.kw, g.c}, x.dtype)};
}

Conv2dInputGradOp read_conv2d_input_grad(const OpRequest& request) {
  require(request.has_input(0) && request.has_input(1) && request.has_output(0),
          "conv2d_input_grad: dy, w or dx is absent");
  const TensorSpec& dy = request.inputs[0];
  const TensorSpec& w = request.inputs[1];
  expect_compute_dtype(request, "dy", dy);
  expect_dtype(request, "w", w, {dy.dtype});
  expect_dtype(request, "dx", request.outputs[0], {dy.dtype});
  Conv2dInputGradOp result{read_geometry(request, request.outputs[0], w.shape, dy), dy.dtype, {}};
  const ConvGeometry& g = result.geometry;
  const size_t adapters = read_gradient_adapters(request);
  for (size_t a = 0; a < adapters; a++) {
    const TensorSpec& dh = request.inputs[2 + a];
    const TensorSpec& down = request.inputs[2 + adapters + a];
    const int64_t rank = columns_of(dh);
    expect_dtype(request, "dh", dh, {dy.dtype});
    expect_dtype(request, "down", down, {dy.dtype});
    expect_shape(request, "dh", dh, with_columns(dy.shape, rank), "dy", dy);
    expect_shape(request, "down", down, {rank, g.kh, g.kw, g.c}, "w", w);
    result.ranks.push_back(rank);
  }
  return result;
}

Conv2dWeightGradOp read_conv2d_weight_grad(const OpRequest& request) {
  expect_operands(request, {"dy", "x"}, {"dw"});
  const TensorSpec& dy = request.inputs[0];
  const TensorSpec& x = request.inputs[1];
  const TensorSpec& dw = request.outputs[0];
  expect_compute_dtype(request, "dy", dy);
  expect_dtype(request, "x", x, {dy.dtype});
  expect_accumulator(request, "dw", dw);
  const Instruction& instruction = request.instruction;
  const float scale = instruction.has("scale") ? static_cast<float>(instruction.number("scale")) : 1.0f;
  return {read_geometry(request, x, dw.shape, dy), dy.dtype, scale};
}

}  // namespace lorikeet
