// What activation and activation_backward read from their instruction, on every device.
#pragma once

#include "../kernel.h"

namespace lorikeet {

enum class ActivationKind { silu, gelu, gelu_tanh, quick_gelu };

// activation: y = f(x). activation_backward: dx = dy f'(x). All of `count` elements.
struct ActivationOp {
  DType dtype = DType::f32;
  int64_t count = 0;
  ActivationKind kind = ActivationKind::silu;
};
ActivationOp read_activation(const OpRequest& request);
ActivationOp read_activation_backward(const OpRequest& request);

}  // namespace lorikeet
