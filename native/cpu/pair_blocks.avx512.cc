#include "pair_blocks.h"

#include <immintrin.h>

#pragma GCC target("avx512f,avx512bw,avx512vl,avx512dq")
// g++ 12 takes the undefined operands inside its own intrinsics for a mistake (GCC bug 105593).
#pragma GCC diagnostic ignored "-Wuninitialized"
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"

namespace lorikeet::cpu {

// A row holds eight 2x2 blocks of 64 bits: (s, o) (s+1, o) (s, o+1) (s+1, o+1). The blocks are transposed as 64-bit
// numbers, and the middle two of the four values change places.
void transpose_tile_avx512(const bf16* source, int64_t source_row, bf16* target, int64_t target_row) {
  const __m512i swap = _mm512_set4_epi32(0x0f0e0b0a, 0x0d0c0908, 0x07060302, 0x05040100);
  __m512i a[8], b[8];
#pragma GCC unroll 8
  for (int i = 0; i < 8; i++) a[i] = _mm512_shuffle_epi8(_mm512_loadu_si512(source + i * source_row), swap);
#pragma GCC unroll 4
  for (int i = 0; i < 4; i++) {  // pairs of rows: columns 0 2 4 6 and 1 3 5 7
    b[2 * i] = _mm512_unpacklo_epi64(a[2 * i], a[2 * i + 1]);
    b[2 * i + 1] = _mm512_unpackhi_epi64(a[2 * i], a[2 * i + 1]);
  }
#pragma GCC unroll 2
  for (int odd = 0; odd < 2; odd++) {  // columns odd, 2 + odd, 4 + odd, 6 + odd lie in the four quarters
    const __m512i low02 = _mm512_shuffle_i64x2(b[odd], b[2 + odd], 0x44);  // rows 0-3, quarters 0 and 1
    const __m512i low46 = _mm512_shuffle_i64x2(b[odd], b[2 + odd], 0xee);  // rows 0-3, quarters 2 and 3
    const __m512i high02 = _mm512_shuffle_i64x2(b[4 + odd], b[6 + odd], 0x44);
    const __m512i high46 = _mm512_shuffle_i64x2(b[4 + odd], b[6 + odd], 0xee);
    a[odd] = _mm512_shuffle_i64x2(low02, high02, 0x88);
    a[2 + odd] = _mm512_shuffle_i64x2(low02, high02, 0xdd);
    a[4 + odd] = _mm512_shuffle_i64x2(low46, high46, 0x88);
    a[6 + odd] = _mm512_shuffle_i64x2(low46, high46, 0xdd);
  }
#pragma GCC unroll 8
  for (int i = 0; i < 8; i++) _mm512_storeu_si512(target + i * target_row, a[i]);
}

}  // namespace lorikeet::cpu
