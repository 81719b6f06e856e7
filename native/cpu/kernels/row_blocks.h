// Gradients of a norm's weights are sums over rows. Rows are cut into blocks, whose number follows from the shape alone,
// and the blocks' sums are added up in order: the same bits for any number of threads.
#pragma once

#include "../elementwise.h"

namespace lorikeet::cpu {

inline int64_t rows_of_block(int64_t rows, int64_t columns) {
  constexpr int64_t kMaxBlocks = 256;
  return std::max(row_grain(columns), pieces_of(rows, kMaxBlocks));
}

static LORIKEET_CLONES void add_row(const float* from, float* to, int64_t n) {
#pragma omp simd
  for (int64_t i = 0; i < n; i++) to[i] += from[i];
}

}  // namespace lorikeet::cpu
