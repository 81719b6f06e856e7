// What attention and attention_backward read from their instruction, on every device.
#pragma once

#include "../kernel.h"

namespace lorikeet {

// Where q, k or v lies: the columns from `column` on of operand `operand`, which has `stride` columns.
struct AttentionSource {
  size_t operand = 0;
  int64_t stride = 0, column = 0;
};

// attention. Inputs: the sources; outputs o [N, .., heads * head_size], lse [N, heads, queries].
// attention_backward. Inputs: the sources, o, lse, do; outputs the gradients of the sources, which lie where those do.
struct AttentionOp {
  DType dtype = DType::f32;
  int64_t batch = 0, heads = 0, head_size = 0;
  int64_t queries = 0, keys = 0;  // per sample
  bool causal = false;            // query i sees keys 0 to i
  float scale = 1;
  size_t sources = 1;  // 1: [q | k | v] in one tensor, 2: q, [k | v], 3: q, k, v
  AttentionSource q, k, v;

  int64_t channels() const { return heads * head_size; }
};
AttentionOp read_attention(const OpRequest& request);
AttentionOp read_attention_backward(const OpRequest& request);

}  // namespace lorikeet
