// conv2d: a convolution (cross-correlation) with adapters: h = conv(x, down), y += scale h upᵀ. A 1x1 convolution
// without stride is the op linear.
#include "../convolution.h"
#include "../linear_layer.h"
#include "../low_rank.h"
#include "../weight_feed.h"

namespace lorikeet::cpu {
namespace {

class Conv2d : public Kernel {
 public:
  Conv2d(const KernelRequest& request, const Conv2dOp& op)
      : scratch_(request.scratch), ups_(request, op.geometry.out_pixels(), up_products(op)) {
    add(request, op.geometry, op.dtype, 1, request.has_input(2), 0);
    for (size_t a = 0; a < op.low_rank.adapters(); a++) {
      if (op.low_rank.ranks[a] == 0) continue;
      add(request, op.geometry.with_outputs(op.low_rank.ranks[a]), op.dtype, op.low_rank.downs[a], false, 1 + a);
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

  static std::vector<RowProduct> up_products(const Conv2dOp& op) {
    std::vector<RowProduct> products;
    append_up_products(op.low_rank, op.geometry.o, op.dtype, products);
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

  Scratch& scratch_;
  std::vector<Part> parts_;
  RowProducts ups_;
};

std::unique_ptr<Kernel> make_conv2d(const KernelRequest& request) {
  const Conv2dOp op = read_conv2d(request);
  const ConvGeometry& g = op.geometry;
  if (g.pointwise()) return make_linear_forward(request, {g.out_pixels(), g.o, g.c, op.dtype, op.low_rank});
  return std::make_unique<Conv2d>(request, op);
}

LORIKEET_REGISTER_CPU_KERNEL("conv2d", make_conv2d);

}  // namespace
}  // namespace lorikeet::cpu
