// What modulate, gate and their gradients read from their instructions, on every device.
#pragma once

#include "../kernel.h"

namespace lorikeet {

// Tensors [samples, rows, columns], and vectors [samples, columns] of the same dtype, one for all rows of a sample.
struct PerSample {
  DType dtype = DType::f32;
  int64_t samples = 0, rows = 0, columns = 0;
};

// y = x (1 + scale) + shift. Inputs: x, scale, shift; output y.
PerSample read_modulate(const OpRequest& request);
// y = x + gate z. Inputs: x, z, gate; output y.
PerSample read_gate(const OpRequest& request);

// modulate_backward. Inputs: dy, x?, scale; outputs dx?, dscale?, dshift?
// gate_backward. Inputs: dy, z?, gate; outputs dz?, dgate?
// Either way dx = dy (plus + scale), dscale = the sum of dy x over the rows of a sample, dshift = that of dy.
struct ModulateBackwardOp : PerSample {
  float plus = 0;
  bool dx = false, dscale = false, dshift = false;
};
ModulateBackwardOp read_modulate_backward(const OpRequest& request);
ModulateBackwardOp read_gate_backward(const OpRequest& request);

}  // namespace lorikeet
