// What adamw_8bit reads from its instruction, on every device, and what its codes mean.
#pragma once

#include <array>

#include "adamw.h"

namespace lorikeet {

// Elements that share a scale. Each range has blocks of its own, the last of which may be shorter.
constexpr int64_t kQuantisationBlock = 256;

// The numbers in [-1, 1] or [0, 1] that a byte stands for: Dettmers' dynamic tree quantisation (arXiv 1511.04561), as
// bitsandbytes arranges it in ascending order. For each power of ten from 10^-6 to 1 there are twice as many numbers as
// for the one before, from one (with a sign) or two (without), the middles of equal parts of [0.1, 1]; and 0, and 1.
struct QuantisationMap {
  std::array<float, 256> values;
  // Halfway between one value and the next, as a tree: 2 i is below and 2 i + 1 above i, from i = 1 on. A search takes
  // eight steps, and in each the threads of a warp read neighbouring words, or the same.
  std::array<float, 256> midpoints;
};

QuantisationMap quantisation_map(bool has_sign);

// The code of the value nearest to x; the lower one of two.
inline int nearest_code(const float* midpoints, float x) {
  int node = 1;
  for (int level = 0; level < 8; level++) node = 2 * node + (midpoints[node] < x ? 1 : 0);
  return node - 256;
}

// Inputs: params, grads, m, v (i32, [blocks, 64]), m_scale, v_scale ([blocks]), norm, scalars; outputs: params, m, v,
// m_scale, v_scale in place, and shadow?
struct Adamw8BitStep {
  struct Piece {
    int64_t start, count, first_block, group;
    double weight_decay;
  };
  std::vector<Piece> pieces;
  AdamwOptions options;
};

// The ranges of the instruction are cut into pieces of at most that many blocks.
Adamw8BitStep read_adamw_8bit(const OpRequest& request, int64_t longest_piece);

}  // namespace lorikeet
