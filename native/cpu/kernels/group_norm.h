// What group_norm and group_norm_backward share: how the rows are cut, and the table of numbers per channel that their
// loops read.
#pragma once

#include "../../core/ops/norms.h"
#include "../elementwise.h"

namespace lorikeet::cpu::group_norm {

// x is [samples][rows][channels], channels last. Rows are cut into blocks that stay in the second-level cache for a
// second pass; their number follows from the shape alone, since statistics are combined block by block.
struct Geometry : GroupNormOp {
  int64_t block_rows, blocks;  // per sample

  int64_t group_channels() const { return channels / groups; }
  int64_t elements_per_group() const { return rows * group_channels(); }
  int64_t rows_of_block(int64_t block) const { return std::min(block_rows, rows - block * block_rows); }
};

constexpr int64_t kMaxBlocks = 256;

inline Geometry cut_rows(const GroupNormOp& op) {
  Geometry g{op, 0, 0};
  g.block_rows = std::max(row_grain(g.channels), (g.rows + kMaxBlocks - 1) / kMaxBlocks);
  g.blocks = pieces_of(g.rows, g.block_rows);
  return g;
}

// The arrays, each [channels], that turn x into the normalised value: (x + offset) * scale.
template <typename T>
void fill_table(const Geometry& g, const float* stats, const T* shift, float* offset, float* scale) {
  const int64_t width = g.group_channels();
  for (int64_t c = 0; c < g.channels; c++) {
    const float mean = stats[c / width * 2];
    offset[c] = shift ? to_f32(shift[c]) - mean : -mean;
    scale[c] = stats[c / width * 2 + 1];
  }
}

}  // namespace lorikeet::cpu::group_norm
