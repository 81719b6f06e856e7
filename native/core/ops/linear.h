// What the linear ops read from their instruction, on every device.
#pragma once

#include "low_rank.h"

namespace lorikeet {

// linear: y [rows, n] = x [rows, k] wᵀ + bias, with adapters. Inputs: x, w, bias?, downs, ups.
struct LinearOp {
  int64_t rows = 0, n = 0, k = 0;
  DType dtype = DType::f32;
  LowRank low_rank;
};
LinearOp read_linear(const OpRequest& request);

// linear_input_grad: dx [rows, k] = dy [rows, n] w + Σ dh down. Inputs: dy, w, the dhs, the downs.
struct LinearInputGradOp {
  int64_t rows = 0, n = 0, k = 0;
  DType dtype = DType::f32;
  std::vector<int64_t> ranks;  // of adapter a, whose dh is input dh(a) and whose down is input down(a)

  size_t dh(size_t adapter) const { return 2 + adapter; }
  size_t down(size_t adapter) const { return 2 + ranks.size() + adapter; }
};
LinearInputGradOp read_linear_input_grad(const OpRequest& request);

// The number of adapters that an op named ..._input_grad has, each with a dh and a down after dy and w.
size_t read_gradient_adapters(const OpRequest& request);

// linear_weight_grad: dw [n, k] += scale * dy[:, y_column..]ᵀ x[:, x_column..]. Inputs: dy, x.
struct LinearWeightGradOp {
  int64_t rows = 0, n = 0, k = 0;
  DType dtype = DType::f32;
  int64_t y_column = 0, x_column = 0;
  int64_t y_row = 0, x_row = 0;  // elements from one row to the next
  float scale = 1;
};
LinearWeightGradOp read_linear_weight_grad(const OpRequest& request);

}  // namespace lorikeet
