// Launches of linear layers and their input gradients, also for what is one in disguise: a 1x1 convolution.
#pragma once

#include "../../native/core/ops/linear.h"
#include "../extent.h"
#include "../op.h"
#include "low_rank.h"
#include "tuned_tile.h"

namespace LORIKEET_CUDA {

Launch linear(const CudaRequest& request, const LinearOp& op);
Launch linear_input_grad(const CudaRequest& request, const LinearInputGradOp& op);
// The gradient dw [n, k], which is output 0, of inputs dy and x.
Launch linear_weight_grad(const CudaRequest& request, const LinearWeightGradOp& op);

// The ups of a layer as segments of its product: h of adapter a is output 1 + a.
template <typename T>
std::vector<LowRankUp<T>> ups_of(const LowRank& low_rank, const Operands& operands) {
  std::vector<LowRankUp<T>> ups;
  for (const auto& up : low_rank.ups) {
    ups.push_back({data<const T>(operands.outputs[1 + up.adapter]) + up.rank, low_rank.ranks[up.adapter],
                   data<const T>(operands.inputs[up.input]), up.r, static_cast<int>(up.r),
                   static_cast<int>(up.column), static_cast<int>(up.n), low_rank.scales[up.adapter]});
  }
  return ups;
}

// What the ups of a layer with n outputs add to the words of its problem: "+8*320+8*320".
std::string words_of_ups(const LowRank& low_rank, int64_t n);

// Throws Error for more adapters than fit one launch; `count`: segments of the reduction besides the layer's own.
void expect_room_for_adapters(const CudaRequest& request, size_t count);

}  // namespace LORIKEET_CUDA
