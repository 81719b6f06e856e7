// Matrix products with one thin side, in bf16 with AVX-512 BF16: the low-rank products of an adapter. oneDNN runs them
// at a quarter to a half of its usual rate (rank 8 and 16), since its tiles are 64 columns wide and its inner loop is
// short; here they are bound by arithmetic or memory. Products are accumulated in f32 in an order that depends on
// nothing but the shape.
#pragma once

#include <cstdint>

#include "convert.h"

namespace lorikeet::cpu::thin {

bool available();  // has this processor the instructions

// Two neighbours along the summed extent, as one 32-bit lane: what vdpbf16ps multiplies and adds.
using Pair = uint32_t;

// w[k, n] (element (p, j) at w[p * row + j * column]) as vectors of 16 columns: [n / 16][k / 2][16] pairs, zero-padded.
int64_t packed_pairs(int64_t k, int64_t n);
void pack_pairs(const bf16* w, int64_t row, int64_t column, int64_t k, int64_t n, Pair* packed);

// c[m, n] = scale * a[m, k] w (+ c), rounded once; rows of a and c are `a_row` and `c_row` elements apart.
void multiply(const bf16* a, int64_t a_row, const Pair* w, bf16* c, int64_t c_row, int64_t m, int64_t n, int64_t k,
              float scale, bool accumulate);

// sum[j, i] (at sum[j * sum_thin + i * sum_wide]) += scale * Σ_p thin[p, j] wide[p, i] for i in first..last, all j < n.
// thin is packed by pack_rows: [m / 2][n] pairs of neighbouring rows.
int64_t packed_rows(int64_t m, int64_t n);
void pack_rows(const bf16* thin, int64_t row, int64_t m, int64_t n, Pair* packed);
void reduce(const Pair* thin, const bf16* wide, int64_t wide_row, int64_t m, int64_t n, int64_t first, int64_t last,
            float scale, float* sum, int64_t sum_thin, int64_t sum_wide);

constexpr int64_t kPanel = 32;  // columns of `wide` that reduce() handles at a time; `first` is a multiple

}  // namespace lorikeet::cpu::thin
