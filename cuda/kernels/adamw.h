// adamw: one step of AdamW (Loshchilov and Hutter, arXiv 1711.05101) over the flat arena of trainable parameters, in
// place, in the order of operations of torch.optim.AdamW, with the gradient clipped as
// torch.nn.utils.clip_grad_norm_ does. The bf16 shadow that the matmuls read is written in the same pass. When the norm
// is not finite nothing changes.
#pragma once

#include "../bf16.h"
#include "../runtime.h"

namespace LORIKEET_CUDA {

// What one block updates: consecutive parameters of one learning rate.
struct alignas(32) AdamwPiece {
  int64_t start;
  int64_t state;  // where it begins in m and v; of adamw_8bit, which block of them is its first
  double weight_decay;
  int32_t count, group;
};

struct Adamw {
  int pieces;
  const AdamwPiece* piece;  // [pieces], in device memory
  double beta1, beta2, eps, max_norm;
  float* params;
  const float* grads;
  float* m;
  float* v;
  const float* norm;     // [1], of all gradients
  const float* scalars;  // 1 - beta1^t, 1 - beta2^t, learning rate of each group
  bf16* shadow;          // or null
};

void launch_adamw(const Adamw& problem, Stream stream);

}  // namespace LORIKEET_CUDA
