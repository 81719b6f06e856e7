// What rotary_embedding reads from its instruction, on every device.
#pragma once

#include "../kernel.h"

namespace lorikeet {

// x [samples, tokens, columns], whose columns are heads of `2 * pairs`; cos and sin [tokens, pairs] in f32. Columns 2i
// and 2i + 1 of a head are turned by the angle of pair i, backwards if `inverse`. Inputs: x, cos, sin; output y.
struct RotaryEmbeddingOp {
  DType dtype = DType::f32;
  int64_t samples = 0, tokens = 0, columns = 0, pairs = 1;
  bool inverse = false;
};
RotaryEmbeddingOp read_rotary_embedding(const OpRequest& request);

}  // namespace lorikeet
