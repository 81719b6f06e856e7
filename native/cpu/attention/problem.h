// What attention and attention_backward share: where rows of a head lie, and cutting the work.
#pragma once

#include <algorithm>

#include "../../core/ops/attention.h"
#include "tiles.h"

namespace lorikeet::cpu::attention {

struct Problem : AttentionOp {
  Problem(const AttentionOp& op) : AttentionOp(op) {}

  int64_t total_heads() const { return batch * heads; }
  int64_t query_blocks() const { return (queries + kTile - 1) / kTile; }
  int64_t key_blocks() const { return (keys + kTile - 1) / kTile; }

  // Rows from `row` on of one head (0 .. total_heads - 1); `rows` is the number of rows per sample.
  Matrix head(const Tensor& tensor, const AttentionSource& source, int64_t rows, int64_t head, int64_t row) const;
};

// n lanes cut into as few tiles as can be, of equal size but the last: 77 become 48 and 29, not 64 and 13, since a
// single vector of lanes keeps the multipliers only half busy.
struct Tiling {
  int64_t size, count;
};
Tiling tiling(int64_t n, int64_t lanes);

// Heads that are worked on together: what they need packed should stay within a few megabytes, but every thread should
// have something to do. Results do not depend on it.
int64_t heads_at_once(int64_t total, int64_t bytes_per_head, int64_t threads);

}  // namespace lorikeet::cpu::attention
