// conv2d_input_grad: dx of a convolution, dx = convᵀ(dy, w) + Σ convᵀ(dh_a, down_a).
//
// With stride 1 it is a forward convolution of dy with the weight turned (channels exchanged, taps mirrored):
// oneDNN 2.6's own backward pass runs at 0.55 to 0.94 of that on AVX-512 (3x3, 320 channels at 64x64 to 1280 at 8x8).
#include "../convolution.h"
#include "../elementwise.h"
#include "../isa.h"
#include "../linear_layer.h"
#include "../weight_feed.h"

namespace lorikeet::cpu {
namespace {

// With at least this many pixels the forward pass's copy of the weight is rearranged in every run; with fewer, the
// gradient has a copy of its own, twice the memory. Rearranging costs 12 % of the product at 16x16 and 36 % at 8x8
// (1280 channels, bf16, one core of a Zen 5), 1.3 % of a training step of Stable Diffusion 1.5, and saves 0.95 GB of
// it. Tiles (AMX) multiply some three times as fast at the same memory speed: there the copies are worth their bytes.
int64_t rearranged_pixels() { return isa().amx_bf16 ? 1024 : 1; }

class TurnedConvolution : public Kernel {
 public:
  TurnedConvolution(const KernelRequest& request, const ConvGeometry& geometry, DType dtype,
                    const std::vector<int64_t>& ranks)
      : scratch_(request.scratch) {
    add(request, geometry, dtype, 0, 1, false);
    for (size_t a = 0; a < ranks.size(); a++) {
      if (ranks[a] > 0) add(request, geometry.with_outputs(ranks[a]), dtype, 2 + a, 2 + ranks.size() + a, true);
    }
  }

  void run(const Operands& operands) override {
    char* scratch = static_cast<char*>(scratch_.data());
    for (Part& part : parts_) {
      const void* weights = part.weights.prepare(operands, scratch);
      part.convolution.run(operands.inputs[part.gradient].data, weights, nullptr, operands.outputs[0].data,
                           scratch + part.weights.scratch_bytes());
    }
  }

 private:
  struct Part {
    ConvForward convolution;
    WeightFeed weights;
    size_t gradient;
  };

  void add(const KernelRequest& request, const ConvGeometry& geometry, DType dtype, size_t gradient, size_t input,
           bool accumulate) {
    Part part{ConvForward(geometry.turned(), dtype, false, accumulate), {}, gradient};
    const Desc plain = plain_conv_weights(geometry, dtype);
    const Desc& wanted = part.convolution.weights_desc();
    if (request.inputs[input].space != Space::weight) {
      part.weights = WeightFeed::of_operand(input, plain, wanted, true);
    } else if (geometry.ho() * geometry.wo() >= rearranged_pixels()) {
      const ConvForward forward(geometry, dtype, false, false);
      part.weights =
          WeightFeed::of_store_exchanged(request, input, "forward", plain, forward.weights_desc(), wanted, true);
    } else {
      part.weights = WeightFeed::of_store(request, input, "input gradient", plain, wanted, true);
    }
    scratch_.reserve(part.weights.scratch_bytes() + part.convolution.scratch_bytes());
    parts_.push_back(std::move(part));
  }

  Scratch& scratch_;
  std::vector<Part> parts_;
};

// Any stride. The adapters' parts are made in f32 beside dx and added once.
class StridedInputGrad : public Kernel {
 public:
  StridedInputGrad(const KernelRequest& request, const ConvGeometry& geometry, DType dtype,
                   const std::vector<int64_t>& ranks)
      : dtype_(dtype), elements_(geometry.n * geometry.h * geometry.w * geometry.c), scratch_(request.scratch) {
    add(request, geometry, 0, 1, dtype);
    for (size_t a = 0; a < ranks.size(); a++) {
      if (ranks[a] > 0) add(request, geometry.with_outputs(ranks[a]), 2 + a, 2 + ranks.size() + a, DType::f32);
    }
  }

  void run(const Operands& operands) override {
    char* scratch = static_cast<char*>(scratch_.data());
    for (size_t i = 0; i < parts_.size(); i++) {
      Part& part = parts_[i];
      void* dx = i == 0 ? operands.outputs[0].data : scratch;
      char* weights_place = scratch + (i == 0 ? 0 : aligned(elements_ * 4));
      const void* weights = part.weights.prepare(operands, weights_place);
      part.gradient.run(operands.inputs[part.input].data, weights, dx, weights_place + part.weights.scratch_bytes());
      if (i > 0) add_up(static_cast<const float*>(dx), operands.outputs[0]);
    }
  }

 private:
  struct Part {
    ConvInputGrad gradient;
    WeightFeed weights;
    size_t input;
  };

  void add(const KernelRequest& request, const ConvGeometry& geometry, size_t gradient, size_t input, DType dx_dtype) {
    Part part{ConvInputGrad(geometry, dtype_, dx_dtype), {}, gradient};
    const Desc plain = plain_conv_weights(geometry, dtype_);
    const Desc& wanted = part.gradient.weights_desc();
    part.weights = request.inputs[input].space == Space::weight
                       ? WeightFeed::of_store(request, input, "input gradient", plain, wanted)
                       : WeightFeed::of_operand(input, plain, wanted);
    const int64_t before = parts_.empty() ? 0 : aligned(elements_ * 4);
    scratch_.reserve(before + part.weights.scratch_bytes() + part.gradient.scratch_bytes());
    parts_.push_back(std::move(part));
  }

  void add_up(const float* part, const Tensor& dx) const {
    by_dtype(dtype_, [&](auto zero) {
      using T = decltype(zero);
      T* sum = dx.as<T>();
      parallel_for(elements_, kElementGrain, [=](int64_t begin, int64_t end) {
        for (int64_t i = begin; i < end; i++) sum[i] = from_f32<T>(to_f32(sum[i]) + part[i]);
      });
    });
  }

  DType dtype_;
  int64_t elements_;
  Scratch& scratch_;
  std::vector<Part> parts_;
};

std::unique_ptr<Kernel> make_input_grad(const KernelRequest& request) {
  const Conv2dInputGradOp op = read_conv2d_input_grad(request);
  const ConvGeometry& g = op.geometry;
  if (g.pointwise()) return make_linear_input_grad(request, {g.out_pixels(), g.o, g.c, op.dtype, op.ranks});
  // dy padded by less than nothing is not a convolution any more.
  const bool within = g.top < g.kh && g.bottom < g.kh && g.left < g.kw && g.right < g.kw;
  if (g.stride == 1 && within) return std::make_unique<TurnedConvolution>(request, g, op.dtype, op.ranks);
  return std::make_unique<StridedInputGrad>(request, g, op.dtype, op.ranks);
}

LORIKEET_REGISTER_CPU_KERNEL("conv2d_input_grad", make_input_grad);

}  // namespace
}  // namespace lorikeet::cpu
