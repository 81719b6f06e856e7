// y = x * wᵀ + bias with its adapters, and dx = dy * w + Σ dh * down, over matrices of M rows: what the ops linear and
// linear_input_grad are, and what a 1x1 convolution is as well.
#pragma once

#include "../core/ops/linear.h"
#include "kernel.h"

namespace lorikeet::cpu {

std::unique_ptr<Kernel> make_linear_forward(const KernelRequest& request, const LinearOp& op);
std::unique_ptr<Kernel> make_linear_input_grad(const KernelRequest& request, const LinearInputGradOp& op);

}  // namespace lorikeet::cpu
