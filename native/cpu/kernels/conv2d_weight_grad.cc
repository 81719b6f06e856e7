// conv2d_weight_grad: dw[O, kh, kw, C] += scale * the gradient of a convolution by its weight, summed in f32.
#include "../convolution.h"
#include "../elementwise.h"

namespace lorikeet::cpu {
namespace {

class Conv2dWeightGrad : public Kernel {
 public:
  Conv2dWeightGrad(const KernelRequest& request, const ConvGeometry& geometry, DType dtype, float scale)
      : gradient_(geometry, dtype), elements_(geometry.o * geometry.kh * geometry.kw * geometry.c), scale_(scale),
        scratch_(request.scratch) {
    scratch_.reserve(aligned(elements_ * 4) + gradient_.scratch_bytes());
  }

  void run(const Operands& operands) override {
    float* part = static_cast<float*>(scratch_.data());
    gradient_.run(operands.inputs[0].data, operands.inputs[1].data, part,
                  static_cast<char*>(scratch_.data()) + aligned(elements_ * 4));
    float* sum = operands.outputs[0].as<float>();
    const float scale = scale_;
    parallel_for(elements_, kElementGrain, [=](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; i++) sum[i] += scale * part[i];
    });
  }

 private:
  ConvWeightGrad gradient_;
  int64_t elements_;
  float scale_;
  Scratch& scratch_;
};

std::unique_ptr<Kernel> make_weight_grad(const KernelRequest& request) {
  const Conv2dWeightGradOp op = read_conv2d_weight_grad(request);
  return std::make_unique<Conv2dWeightGrad>(request, op.geometry, op.dtype, op.scale);
}

LORIKEET_REGISTER_CPU_KERNEL("conv2d_weight_grad", make_weight_grad);

}  // namespace
}  // namespace lorikeet::cpu
