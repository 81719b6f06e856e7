#include "conv_operands.h"

#include "../core/checks.h"

namespace lorikeet::cpu {

ConvGeometry read_geometry(const KernelRequest& request, const TensorSpec& image, const Shape& weight,
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

ConvGeometry with_outputs(ConvGeometry geometry, int64_t outputs) {
  geometry.o = outputs;
  return geometry;
}

}  // namespace lorikeet::cpu
