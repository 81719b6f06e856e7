// What the convolution ops read from their instruction, on every device.
#pragma once

#include "low_rank.h"

namespace lorikeet {

struct ConvGeometry {
  int64_t n = 0, h = 0, w = 0, c = 0;  // of the input
  int64_t o = 0, kh = 0, kw = 0;       // of the weight [O, kh, kw, C]
  int64_t stride = 1;
  int64_t top = 0, bottom = 0, left = 0, right = 0;

  int64_t ho() const { return (h + top + bottom - kh) / stride + 1; }
  int64_t wo() const { return (w + left + right - kw) / stride + 1; }
  int64_t out_pixels() const { return n * ho() * wo(); }
  bool pointwise() const { return kh == 1 && kw == 1 && stride == 1 && top + bottom + left + right == 0; }
  // The convolution that takes dy to dx when the stride is 1: with the weight turned, and padded to the full overlap.
  ConvGeometry turned() const;
  // The same for an adapter's down, which has other output channels.
  ConvGeometry with_outputs(int64_t outputs) const;
};

// conv2d. Inputs: x [N, H, W, C], w [O, kh, kw, C], bias?, downs, ups; output y [N, Ho, Wo, O].
struct Conv2dOp {
  ConvGeometry geometry;
  DType dtype = DType::f32;
  LowRank low_rank;
};
Conv2dOp read_conv2d(const OpRequest& request);

// conv2d_input_grad. Inputs: dy, w, the dhs [N, Ho, Wo, R], the downs [R, kh, kw, C]; output dx.
struct Conv2dInputGradOp {
  ConvGeometry geometry;
  DType dtype = DType::f32;
  std::vector<int64_t> ranks;  // of adapter a, whose dh is input dh(a) and whose down is input down(a)

  size_t dh(size_t adapter) const { return 2 + adapter; }
  size_t down(size_t adapter) const { return 2 + ranks.size() + adapter; }
};
Conv2dInputGradOp read_conv2d_input_grad(const OpRequest& request);

// conv2d_weight_grad: dw [O, kh, kw, C] += scale * ... Inputs: dy, x.
struct Conv2dWeightGradOp {
  ConvGeometry geometry;
  DType dtype = DType::f32;
  float scale = 1;
};
Conv2dWeightGradOp read_conv2d_weight_grad(const OpRequest& request);

}  // namespace lorikeet
