// conv2d: a convolution (cross-correlation) with adapters: h = conv(x, down), y += scale h upᵀ. A 1x1 convolution
// without stride is the op linear.
#include "../../core/checks.h"
#include "../conv_operands.h"
#include "../linear_layer.h"
#include "../low_rank.h"

namespace lorikeet::cpu {
namespace {

class Conv2d : public Kernel {
 public:
  Conv2d(const KernelRequest& request, const ConvGeometry& geometry, DType dtype, const LowRank& low_rank)
      : bias_(request.has_input(2)),
        scratch_(request.scratch),
        ups_(request, geometry.n * geometry.ho() * geometry.wo(), up_products(low_rank, geometry.o, dtype)) {
    add(request, geometry, dtype, 1, bias_, 0);
    for (size_t a = 0; a < low_rank.adapters(); a++) {
      if (low_rank.ranks[a] == 0) continue;
      add(request, with_outputs(geometry, low_rank.ranks[a]), dtype, low_rank.downs[a], false, 1 + a);
    }
  }

  void run(const Operands& operands) override {
    char* scratch = static_cast<char*>(scratch_.data());
    for (Part& part : parts_) {
      const void* weights = part.weights.prepare(operands, scratch);
      const float* bias = part.bias ? operands.inputs[2].as<const float>() : nullptr;
      part.convolution.run(operands.inputs[0].data, weights, bias, operands.outputs[part.output].data,
                           scratch + part.weights.scratch_bytes());
    }
    ups_.run(operands);
  }

 private:
  struct Part {
    ConvForward convolution;
    WeightFeed weights;
    size_t output;
    bool bias;
  };

  static std::vector<RowProduct> up_products(const LowRank& low_rank, int64_t columns, DType dtype) {
    std::vector<RowProduct> products;
    append_up_products(low_rank, columns, dtype, products);
    return products;
  }

  void add(const KernelRequest& request, const ConvGeometry& geometry, DType dtype, size_t input, bool bias,
           size_t output) {
    Part part{ConvForward(geometry, dtype, bias, false), {}, output, bias};
    const Desc plain = plain_conv_weights(geometry, dtype);
    part.weights = request.inputs[input].space == Space::weight
                       ? WeightFeed::of_store(request, input, "forward", plain, part.convolution.weights_desc())
                       : WeightFeed::of_operand(input, plain, part.convolution.weights_desc());
    scratch_.reserve(part.weights.scratch_bytes() + part.convolution.scratch_bytes());
    parts_.push_back(std::move(part));
  }

  bool bias_;
  Scratch& scratch_;
  std::vector<Part> parts_;
  RowProducts ups_;
};

std::unique_ptr<Kernel> make_conv2d(const KernelRequest& request) {
  require(request.has_input(0) && request.has_input(1) && request.has_output(0), "conv2d: x, w or y is absent");
  const TensorSpec& x = request.inputs[0];
  const TensorSpec& w = request.inputs[1];
  const TensorSpec& y = request.outputs[0];
  expect_compute_dtype(request, "x", x);
  expect_dtype(request, "w", w, {x.dtype});
  expect_dtype(request, "y", y, {x.dtype});
  const ConvGeometry geometry = read_geometry(request, x, w.shape, y);
  if (request.has_input(2)) {
    expect_dtype(request, "bias", request.inputs[2], {DType::f32});
    expect_shape(request, "bias", request.inputs[2], {geometry.o}, "w", w);
  }
  const Shape window = {geometry.kh, geometry.kw, geometry.c};
  if (geometry.pointwise()) return make_linear_forward(request, rows_of(x), geometry.o, geometry.c, x.dtype, window);
  const LowRank low_rank = read_low_rank(request, 3, window, geometry.o, x.dtype);
  require(request.outputs.size() == 1 + low_rank.adapters(), "conv2d: ", low_rank.adapters(), " adapters need ",
          1 + low_rank.adapters(), " outputs, got ", request.outputs.size());
  for (size_t a = 0; a < low_rank.adapters(); a++) {
    expect_dtype(request, "h", request.outputs[1 + a], {x.dtype});
    expect_shape(request, "h", request.outputs[1 + a], with_columns(y.shape, low_rank.ranks[a]), "y", y);
  }
  return std::make_unique<Conv2d>(request, geometry, x.dtype, low_rank);
}

LORIKEET_REGISTER_CPU_KERNEL("conv2d", make_conv2d);

}  // namespace
}  // namespace lorikeet::cpu
