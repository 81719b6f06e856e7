// Vectors of f32 for one instruction set, as GNU vector types: 16 lanes for AVX-512, 8 for AVX2, 4 for any other.
//
// Included by tile_ops.<isa>.cc inside a namespace of its own, after all other headers and behind a pragma that
// switches the target: nothing here may be shared between instruction sets, so there is no include guard and no
// #include.

using Vec = float __attribute__((vector_size(LORIKEET_LANES * 4)));
using VecInt = int32_t __attribute__((vector_size(LORIKEET_LANES * 4)));
// Anywhere in memory: rows of bf16 begin at any even address.
using VecInMemory = float __attribute__((vector_size(LORIKEET_LANES * 4), aligned(1), may_alias));

constexpr int64_t kLanes = LORIKEET_LANES;

#define INLINE static inline __attribute__((always_inline))

INLINE Vec load(const float* p) { return *reinterpret_cast<const VecInMemory*>(p); }
INLINE void store(float* p, Vec x) { *reinterpret_cast<VecInMemory*>(p) = x; }

#if LORIKEET_LANES == 16

INLINE Vec broadcast(float x) { return (Vec)_mm512_set1_ps(x); }
INLINE Vec maximum(Vec a, Vec b) { return (Vec)_mm512_max_ps((__m512)a, (__m512)b); }

// x - floor(x), and y * 2^floor(x): single instructions, right for infinities and NaN too.
INLINE Vec fraction(Vec x) { return (Vec)_mm512_reduce_ps((__m512)x, _MM_FROUND_TO_NEG_INF); }
INLINE Vec times_power(Vec y, Vec x) { return (Vec)_mm512_scalef_ps((__m512)y, (__m512)x); }

#else

INLINE Vec broadcast(float x) { return x - Vec{}; }
INLINE Vec maximum(Vec a, Vec b) { return a > b ? a : b; }

INLINE Vec floor(Vec x) {
  // Adding 1.5 * 2^23 rounds to an integer; exact for |x| < 2^22.
  const Vec rounder = broadcast(12582912.0f);
  const Vec nearest = (x + rounder) - rounder;
  return nearest > x ? nearest - 1.0f : nearest;
}

// As above within [-126, 128); outside, y * 2^floor(x) is 0 or infinity. NaN stays NaN.
INLINE Vec fraction(Vec x) {
  const Vec f = x - floor(x);
  return x < -126.0f ? Vec{} : f;
}
INLINE Vec times_power(Vec y, Vec x) {
  const Vec inside = x >= -126.0f ? (x > 127.0f ? broadcast(127.0f) : x) : broadcast(-126.0f);
  const VecInt bits = (__builtin_convertvector(floor(inside), VecInt) + 127) << 23;
  const Vec result = x >= 128.0f ? broadcast(__builtin_inff()) : y * (Vec)bits;
  return x < -126.0f ? Vec{} : result;
}

#endif

// 2^x with a relative error below 2e-7 where the result is a normal number (1.5e-7 measured over [0, 1]); 2^0 is
// exactly 1, 2^-inf is 0, NaN stays NaN. The polynomial is an own minimax fit of 2^f on [0, 1] with the constant term
// 1.
INLINE Vec exp2(Vec x) {
  const Vec f = fraction(x);
  Vec y = broadcast(0.0018671302823349833f);
  y = y * f + 0.009017029777169228f;
  y = y * f + 0.05579991266131401f;
  y = y * f + 0.24016444385051727f;
  y = y * f + 0.6931512951850891f;
  y = y * f + 1.0f;
  return times_power(y, x);
}
