// What layer_norm, group_norm and their gradients read from their instructions, on every device.
#pragma once

#include "../kernel.h"

namespace lorikeet {

// Which of dx?, dgamma?, dbeta? a gradient's instruction names.
struct NormOutputs {
  bool dx = false, dgamma = false, dbeta = false;
};

// layer_norm. Inputs: x [.., columns], gamma?, beta?; outputs y, stats [rows, 2].
// layer_norm_backward. Inputs: dy, x, gamma?, stats; outputs dx?, dgamma?, dbeta?, the last two in buffers.
struct LayerNormOp {
  DType dtype = DType::f32;
  int64_t rows = 0, columns = 0;
  double eps = 0;       // of layer_norm
  NormOutputs outputs;  // of layer_norm_backward
};
LayerNormOp read_layer_norm(const OpRequest& request);
LayerNormOp read_layer_norm_backward(const OpRequest& request);

// group_norm. Inputs: x [samples, .., channels], gamma, beta, shift? [samples, channels]; outputs y, stats [samples,
// groups, 2].
// group_norm_backward. Inputs: dy, x, gamma, beta, shift?, stats; outputs dx?, dgamma?, dbeta?, the last two in
// buffers.
struct GroupNormOp {
  DType dtype = DType::f32;
  int64_t samples = 0, rows = 0, channels = 0, groups = 1;  // rows of a sample
  double eps = 0;
  bool silu = false, has_shift = false;
  NormOutputs outputs;  // of group_norm_backward
};
GroupNormOp read_group_norm(const OpRequest& request);
GroupNormOp read_group_norm_backward(const OpRequest& request);

}  // namespace lorikeet
