// Units of two bf16, with AVX-512 BF16. Included like vector.inc.h, after it; LORIKEET_UNIT_STEP: the units that a
// product sums at a time.

using Value = uint16_t;
constexpr int64_t kPack = 2;
constexpr int64_t kUnitStep = LORIKEET_UNIT_STEP;

// vdpbf16ps: c + a1 * b1 + a2 * b2, the products exact, denormals taken as zero.
INLINE Vec mac(Vec a, Vec b, Vec c) { return (Vec)_mm512_dpbf16_ps((__m512)c, (__m512bh)a, (__m512bh)b); }

// n values, zero behind them.
INLINE Vec load_values(const Value* p, int64_t n) {
  const __mmask16 mask = static_cast<__mmask16>(n >= kLanes ? 0xffff : (1u << n) - 1);
  return (Vec)_mm512_slli_epi32(_mm512_cvtepu16_epi32(_mm256_maskz_loadu_epi16(mask, p)), 16);
}
INLINE void store_values(Value* p, Vec x, int64_t n) {
  const __mmask16 mask = static_cast<__mmask16>(n >= kLanes ? 0xffff : (1u << n) - 1);
  _mm256_mask_storeu_epi16(p, mask, (__m256i)_mm512_cvtneps_pbh((__m512)x));
}

// The last values of a row, fewer than fill a vector of units; zero behind them.
INLINE Vec load_last_units(const Value* p, int64_t n) {
  return (Vec)_mm512_maskz_loadu_epi16(static_cast<__mmask32>((1u << n) - 1), p);
}

// Unit i holds first[i] and second[i], rounded.
INLINE Vec zip_values(Vec first, Vec second) {
  const __m512i order = _mm512_set_epi16(31, 15, 30, 14, 29, 13, 28, 12, 27, 11, 26, 10, 25, 9, 24, 8, 23, 7, 22, 6, 21,
                                         5, 20, 4, 19, 3, 18, 2, 17, 1, 16, 0);
  return (Vec)_mm512_permutexvar_epi16(order, (__m512i)_mm512_cvtne2ps_pbh((__m512)second, (__m512)first));
}

// The first values of all units to out, the second ones to out + stride where there are two columns.
INLINE void unzip_units(Vec units, Value* out, int64_t stride, int64_t columns) {
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(out), _mm512_cvtepi32_epi16((__m512i)units));
  if (columns < 2) return;
  const __m512i second = _mm512_srli_epi32((__m512i)units, 16);
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(out + stride), _mm512_cvtepi32_epi16(second));
}
