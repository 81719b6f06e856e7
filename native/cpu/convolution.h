// Convolutions by oneDNN over channels-last images: forward, by the input and by the weights. Geometry and types are
// fixed when one is made; weights come in the layout that desc() names (see WeightFeed).
#pragma once

#include "../core/ops/conv2d.h"
#include "dnnl.h"

namespace lorikeet::cpu {

// The weight in our order; dims {O, C, kh, kw} as oneDNN counts them.
Desc plain_conv_weights(const ConvGeometry& geometry, DType dtype);

class ConvForward {
 public:
  ConvForward(const ConvGeometry& geometry, DType dtype, bool bias, bool accumulate);
  const Desc& weights_desc() const { return weights_; }
  int64_t scratch_bytes() const { return scratch_bytes_; }
  void run(const void* x, const void* weights, const float* bias, void* y, void* scratch);

 private:
  BoundPrimitive primitive_;
  Desc weights_;
  int64_t scratch_bytes_ = 0;
};

class ConvInputGrad {
 public:
  ConvInputGrad(const ConvGeometry& geometry, DType dtype, DType dx_dtype);
  const Desc& weights_desc() const { return weights_; }
  int64_t scratch_bytes() const { return scratch_bytes_; }
  void run(const void* dy, const void* weights, void* dx, void* scratch);

 private:
  BoundPrimitive primitive_;
  Desc weights_;
  int64_t scratch_bytes_ = 0;
};

// dw in f32, in our order, overwritten.
class ConvWeightGrad {
 public:
  ConvWeightGrad(const ConvGeometry& geometry, DType dtype);
  int64_t scratch_bytes() const { return packed_bytes_ + primitive_bytes_; }
  void run(const void* dy, const void* x, float* dw, void* scratch);

 private:
  BoundPrimitive primitive_;
  Reorder unpack_;
  int64_t packed_bytes_ = 0;
  int64_t primitive_bytes_ = 0;
};

}  // namespace lorikeet::cpu
