#include "pair_blocks.h"

#include "isa.h"
#include "parallel.h"

namespace lorikeet::cpu {

constexpr int64_t kTile = 16;

#if defined(__x86_64__)

bool can_transpose_pairs(const PairBlocks& from, const PairBlocks& to) {
  return isa().avx512 && from.summed == to.outputs && from.outputs == to.summed &&
         from.offsets.size() == to.offsets.size() && from.summed % kTile == 0 && from.outputs % kTile == 0 &&
         from.width % kTile == 0 && to.width % kTile == 0 && from.outputs % from.width == 0 &&
         to.outputs % to.width == 0;
}

void transpose_pairs(const PairBlocks& from, const bf16* source, const PairBlocks& to, bf16* target) {
  const int64_t taps = static_cast<int64_t>(from.offsets.size());
  const int64_t blocks = to.outputs / to.width;
  parallel_for(taps * blocks, 1, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; i++) {
      const bf16* read = source + from.offsets[i / blocks];
      bf16* write = target + to.offsets[i / blocks] + i % blocks * to.block;
      const int64_t first = i % blocks * to.width;  // of the target's outputs
      // Both sides are read and written in long runs: the source's rows of one block, the target's rows of one block.
      for (int64_t o = 0; o < from.outputs; o += from.width) {
        for (int64_t s = 0; s < to.width; s += kTile) {
          for (int64_t p = 0; p < from.width; p += kTile) {
            transpose_tile_avx512(read + o / from.width * from.block + (first + s) * from.width + p * 2, 2 * from.width,
                                  write + (o + p) * to.width + s * 2, 2 * to.width);
          }
        }
      }
    }
  });
}

#else

bool can_transpose_pairs(const PairBlocks&, const PairBlocks&) { return false; }
void transpose_pairs(const PairBlocks&, const bf16*, const PairBlocks&, bf16*) {}

#endif

}  // namespace lorikeet::cpu
