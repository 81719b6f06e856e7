// The inner loops of thin.h.
#include "thin.h"

#include <immintrin.h>

#include <algorithm>

#pragma GCC target("avx512f,avx512bw,avx512vl,avx512dq,avx512bf16,fma")
// g++ 12 takes the undefined operands inside its own intrinsics for a mistake (GCC bug 105593).
#pragma GCC diagnostic ignored "-Wuninitialized"
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"

// Sums stay in registers only when g++ unrolls these loops before it looks at arrays.
#define LORIKEET_UNROLL _Pragma("GCC unroll 16")

namespace lorikeet::cpu::thin {

namespace {

inline __m512 dot(__m512 sum, __m512i a, __m512i b) {
  return _mm512_dpbf16_ps(sum, reinterpret_cast<__m512bh>(a), reinterpret_cast<__m512bh>(b));
}

inline __m512i broadcast(const bf16* pair) {
  int32_t bits;
  __builtin_memcpy(&bits, pair, 4);
  return _mm512_set1_epi32(bits);
}

// R rows of c by V vectors of 16 columns, the last of which is cut by `last`.
template <int R, int V>
inline void multiply_block(const bf16* a, int64_t a_row, const Pair* w, int64_t steps, bf16* c, int64_t c_row,
                           int64_t k, float scale, bool accumulate, __mmask16 last) {
  __m512 sum[R][V];
  LORIKEET_UNROLL for (int r = 0; r < R; r++) {
    LORIKEET_UNROLL for (int v = 0; v < V; v++) sum[r][v] = _mm512_setzero_ps();
  }
  const auto step_of = [&](int64_t step, auto&& factor) {
    __m512i columns[V];
    LORIKEET_UNROLL for (int v = 0; v < V; v++) columns[v] = _mm512_loadu_si512(w + (v * steps + step) * 16);
    LORIKEET_UNROLL for (int r = 0; r < R; r++) {
      const __m512i pair = factor(r);
      LORIKEET_UNROLL for (int v = 0; v < V; v++) sum[r][v] = dot(sum[r][v], pair, columns[v]);
    }
  };
  for (int64_t step = 0; step < k / 2; step++) {
    step_of(step, [&](int r) { return broadcast(a + r * a_row + 2 * step); });
  }
  // The last column of an odd k has no neighbour in memory.
  if (k % 2) step_of(k / 2, [&](int r) { return _mm512_set1_epi32(a[r * a_row + k - 1]); });
  const __m512 factor = _mm512_set1_ps(scale);
  LORIKEET_UNROLL for (int r = 0; r < R; r++) {
    LORIKEET_UNROLL for (int v = 0; v < V; v++) {
      bf16* place = c + r * c_row + v * 16;
      const __mmask16 mask = v == V - 1 ? last : static_cast<__mmask16>(0xffff);
      __m512 value;
      if (accumulate) {
        const __m256i before = _mm256_maskz_loadu_epi16(mask, place);
        value = _mm512_fmadd_ps(sum[r][v], factor,
                                _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(before), 16)));
      } else {
        value = _mm512_mul_ps(sum[r][v], factor);
      }
      _mm256_mask_storeu_epi16(place, mask, reinterpret_cast<__m256i>(_mm512_cvtneps_pbh(value)));
    }
  }
}

template <int R, int V>
int64_t multiply_rows(const bf16* a, int64_t a_row, const Pair* w, bf16* c, int64_t c_row, int64_t m, int64_t k,
                      float scale, bool accumulate, __mmask16 last) {
  int64_t row = 0;
  for (; row + R <= m; row += R) {
    multiply_block<R, V>(a + row * a_row, a_row, w, (k + 1) / 2, c + row * c_row, c_row, k, scale, accumulate, last);
  }
  return row;
}

// All rows by V vectors: blocks of R rows, then of four, then single ones. 24 sums and a few factors fill the
// registers.
template <int V>
void multiply_columns(const bf16* a, int64_t a_row, const Pair* w, bf16* c, int64_t c_row, int64_t m, int64_t k,
                      float scale, bool accumulate, __mmask16 last) {
  constexpr int kRows = V == 4 ? 6 : 12;
  int64_t row = multiply_rows<kRows, V>(a, a_row, w, c, c_row, m, k, scale, accumulate, last);
  row += multiply_rows<4, V>(a + row * a_row, a_row, w, c + row * c_row, c_row, m - row, k, scale, accumulate, last);
  multiply_rows<1, V>(a + row * a_row, a_row, w, c + row * c_row, c_row, m - row, k, scale, accumulate, last);
}

// Columns first..first + 32 of `wide` (32 or as the masks say) and J columns of thin.
template <int J>
void reduce_panel(const Pair* thin, int64_t n, const bf16* wide, int64_t wide_row, int64_t m, __mmask32 mask,
                  float scale, float* sum, int64_t sum_thin, int64_t sum_wide, int64_t columns) {
  const __m512i low_lanes = _mm512_set_epi16(47, 15, 46, 14, 45, 13, 44, 12, 43, 11, 42, 10, 41, 9, 40, 8, 39, 7, 38, 6,
                                             37, 5, 36, 4, 35, 3, 34, 2, 33, 1, 32, 0);
  const __m512i high_lanes = _mm512_add_epi16(low_lanes, _mm512_set1_epi16(16));
  __m512 low[J], high[J];
  LORIKEET_UNROLL for (int j = 0; j < J; j++) low[j] = high[j] = _mm512_setzero_ps();
  for (int64_t p = 0; p < m; p += 2) {
    const bf16* row = wide + p * wide_row;
    // The next panels of the same rows: each is a line at a stride that no prefetcher follows.
    _mm_prefetch(reinterpret_cast<const char*>(row + 2 * kPanel), _MM_HINT_T0);
    _mm_prefetch(reinterpret_cast<const char*>(row + wide_row + 2 * kPanel), _MM_HINT_T0);
    const __m512i even = _mm512_maskz_loadu_epi16(mask, row);
    const __m512i odd = p + 1 < m ? _mm512_maskz_loadu_epi16(mask, row + wide_row) : _mm512_setzero_si512();
    const __m512i first = _mm512_permutex2var_epi16(even, low_lanes, odd);
    const __m512i second = _mm512_permutex2var_epi16(even, high_lanes, odd);
    const Pair* factors = thin + p / 2 * n;
    LORIKEET_UNROLL for (int j = 0; j < J; j++) {
      const __m512i factor = _mm512_set1_epi32(static_cast<int32_t>(factors[j]));
      low[j] = dot(low[j], first, factor);
      high[j] = dot(high[j], second, factor);
    }
  }
  LORIKEET_UNROLL for (int j = 0; j < J; j++) {
    float values[32];
    _mm512_storeu_ps(values, _mm512_mul_ps(low[j], _mm512_set1_ps(scale)));
    _mm512_storeu_ps(values + 16, _mm512_mul_ps(high[j], _mm512_set1_ps(scale)));
    for (int64_t i = 0; i < columns; i++) sum[j * sum_thin + i * sum_wide] += values[i];
  }
}

}  // namespace

void multiply(const bf16* a, int64_t a_row, const Pair* w, bf16* c, int64_t c_row, int64_t m, int64_t n, int64_t k,
              float scale, bool accumulate) {
  const int64_t steps = (k + 1) / 2;
  for (int64_t j = 0; j < n;) {
    const int64_t vectors = (n - j + 15) / 16;
    const int64_t taken = vectors >= 4 ? 4 : vectors >= 2 ? 2 : 1;
    const int64_t rest = n - j - (taken - 1) * 16;
    const __mmask16 last = rest >= 16 ? static_cast<__mmask16>(0xffff) : static_cast<__mmask16>((1u << rest) - 1);
    const Pair* columns = w + j * steps;
    if (taken == 4) multiply_columns<4>(a, a_row, columns, c + j, c_row, m, k, scale, accumulate, last);
    if (taken == 2) multiply_columns<2>(a, a_row, columns, c + j, c_row, m, k, scale, accumulate, last);
    if (taken == 1) multiply_columns<1>(a, a_row, columns, c + j, c_row, m, k, scale, accumulate, last);
    j += taken * 16;
  }
}

// Rows summed before going on to the next columns: they should still be in the second-level cache when the next J
// columns of thin come by. Without such chunks 1280 columns over 4096 rows run at a sixth of the rate.
static int64_t chunk_rows(int64_t wide_row) {
  int64_t rows = 1024;
  while (rows > 256 && rows * wide_row > 1 << 20) rows /= 2;
  return rows;
}

void reduce(const Pair* thin, const bf16* wide, int64_t wide_row, int64_t m, int64_t n, int64_t first, int64_t last,
            float scale, float* sum, int64_t sum_thin, int64_t sum_wide) {
  const int64_t chunk = chunk_rows(wide_row);
  for (int64_t p = 0; p < m; p += chunk) {
    for (int64_t i = first; i < last; i += kPanel) {
      const int64_t columns = std::min(kPanel, last - i);
      const __mmask32 mask = columns == 32 ? 0xffffffffu : (1u << columns) - 1;
      for (int64_t j = 0; j < n;) {
        float* place = sum + j * sum_thin + i * sum_wide;
        const auto panel = [&](auto reduce_some) {
          reduce_some(thin + p / 2 * n + j, n, wide + p * wide_row + i, wide_row, std::min(chunk, m - p), mask, scale,
                      place, sum_thin, sum_wide, columns);
        };
        const int64_t left = n - j;
        if (left >= 8)
          panel(reduce_panel<8>), j += 8;
        else if (left >= 4)
          panel(reduce_panel<4>), j += 4;
        else
          panel(reduce_panel<1>), j += 1;
      }
    }
  }
}

}  // namespace lorikeet::cpu::thin
