// What geglu and geglu_backward read from their instruction, on every device.
#pragma once

#include "../kernel.h"

namespace lorikeet {

// x and dx are [rows, 2 columns] = [value | gate], y and dy [rows, columns].
struct GegluOp {
  DType dtype = DType::f32;
  int64_t rows = 0, columns = 0;
};
GegluOp read_geglu(const OpRequest& request);           // inputs: x; output y
GegluOp read_geglu_backward(const OpRequest& request);  // inputs: dy, x; output dx

}  // namespace lorikeet
