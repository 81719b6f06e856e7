// adamw_8bit: adamw with both moments in 8 bits, block by block (Dettmers et al., arXiv 2110.02861). The moments are
// widened to f32, updated, and rounded to the nearest codes of their block's new scale; the parameters are changed by
// the moments before that rounding. When the norm is not finite nothing changes.
#pragma once

#include "adamw.h"

namespace LORIKEET_CUDA {

// What a byte stands for, as native/core/ops/adamw_8bit.h describes it.
struct QuantisationTable {
  float m_values[256], m_midpoints[256], v_values[256], v_midpoints[256];
};

struct Adamw8Bit {
  int pieces;
  const AdamwPiece* piece;         // [pieces], in device memory
  const QuantisationTable* table;  // in device memory
  double beta1, beta2, eps, max_norm;
  float* params;
  const float* grads;
  uint32_t* m;  // [blocks, 64], four codes a word
  uint32_t* v;
  float* m_scale;  // [blocks]
  float* v_scale;
  const float* norm;     // [1], of all gradients
  const float* scalars;  // 1 - beta1^t, 1 - beta2^t, learning rate of each group
  bf16* shadow;          // or null
  bool wide;             // pieces start at multiples of four, params, grads and shadow at 16 bytes
};

void launch_adamw_8bit(const Adamw8Bit& problem, Stream stream);

}  // namespace LORIKEET_CUDA
