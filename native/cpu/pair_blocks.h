// oneDNN's bf16 weights are blocks of pairs: for one block of outputs after the other, rows of two neighbours along the
// summed extent for every output of the block. Seen from the other direction (the gradient by the input) outputs and
// summed extent change places, so rearranging is a transposition of 2x2 blocks, here at memory speed. oneDNN's reorder
// between two such layouts takes 0.3 ns an element and core (Zen 5), a quarter of a product with 256 rows.
#pragma once

#include <cstdint>
#include <vector>

#include "convert.h"

namespace lorikeet::cpu {

// Element (summed s, output o) of tap t lies at taps[t] + (o / width) * block + (s / 2) * 2 * width + (o % width) * 2 +
// s % 2.
struct PairBlocks {
  int64_t summed = 0;
  int64_t outputs = 0;
  int64_t width = 0;             // outputs in a block
  int64_t block = 0;             // elements from block to block
  std::vector<int64_t> offsets;  // of the taps; one, zero, for a matrix
};

// Whether transpose_pairs can do it: whole 16x16 tiles, and a processor with AVX-512.
bool can_transpose_pairs(const PairBlocks& from, const PairBlocks& to);

// to(summed o, output s, tap t) = from(summed s, output o, tap t).
void transpose_pairs(const PairBlocks& from, const bf16* source, const PairBlocks& to, bf16* target);

// Implementation for AVX-512: 8 rows of 8 blocks of 2x2. Rows are `source_row` and `target_row` elements apart.
void transpose_tile_avx512(const bf16* source, int64_t source_row, bf16* target, int64_t target_row);

}  // namespace lorikeet::cpu
