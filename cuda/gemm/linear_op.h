// Launches of linear layers and their input gradients, also for what is one in disguise: a 1x1 convolution.
#pragma once

#include "../../native/core/ops/linear.h"
#include "../op.h"

namespace LORIKEET_CUDA {

Launch linear(const CudaRequest& request, const LinearOp& op);
Launch linear_input_grad(const CudaRequest& request, const LinearInputGradOp& op);
// The gradient dw [n, k], which is output 0, of inputs dy and x.
Launch linear_weight_grad(const CudaRequest& request, const LinearWeightGradOp& op);

// Extents as kernels count them. Throws Error for one that they cannot.
int extent(const CudaRequest& request, int64_t value);

// Throws Error for more adapters than fit one launch; `count`: segments of the reduction besides the layer's own.
void expect_room_for_adapters(const CudaRequest& request, size_t count);

}  // namespace LORIKEET_CUDA
