// What rms_norm and rms_norm_backward read from their instruction, on every device.
#pragma once

#include "../kernel.h"

namespace lorikeet {

// rms_norm. Inputs: x [.., columns], weight; outputs y, stats [rows]: 1 / sqrt(mean of x^2 + eps).
// rms_norm_backward. Inputs: dy, x, weight, stats; outputs dx?, dweight?, the last in a buffer.
struct RmsNormOp {
  DType dtype = DType::f32;
  int64_t rows = 0, columns = 0;
  double eps = 0;                    // of rms_norm
  bool dx = false, dweight = false;  // of rms_norm_backward
};
RmsNormOp read_rms_norm(const OpRequest& request);
RmsNormOp read_rms_norm_backward(const OpRequest& request);

}  // namespace lorikeet
