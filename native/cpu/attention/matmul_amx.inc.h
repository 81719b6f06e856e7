// The product of matmul.inc.h on AMX tiles (tdpbf16ps): 16 x 16 sums over 16 units of two bf16 at a time. K is a
// multiple of 16 units and N of 16 columns; rows are free. Included like vector.inc.h, after product.inc.h, in place of
// matmul.inc.h.

// The operand of ldtilecfg (Intel SDM, volume 1, table "memory area layout for LDTILECFG").
struct alignas(64) TileConfig {
  uint8_t palette = 1;
  uint8_t start_row = 0;
  uint8_t reserved[14] = {};
  uint16_t row_bytes[16] = {64, 64, 64, 64, 64, 64, 64, 64};
  uint8_t rows[16] = {};
};

// Tiles 0 to 3 are the sums, [upper, lower] x [left, right]; 4 and 5 the left operand's upper and lower rows; 6 and 7
// the right operand's left and right columns.
INLINE void configure(int64_t upper, int64_t lower) {
  TileConfig config;
  const uint8_t first = static_cast<uint8_t>(upper), second = static_cast<uint8_t>(lower > 0 ? lower : 16);
  config.rows[0] = config.rows[1] = config.rows[4] = first;
  config.rows[2] = config.rows[3] = config.rows[5] = second;
  config.rows[6] = config.rows[7] = 16;
  // g++'s intrinsic names only the first 8 of the 64 bytes as its operand, so the others must be made to exist.
  __asm__ volatile("" ::"r"(&config) : "memory");
  _tile_loadconfig(&config);
}

template <bool Lower, bool Right>
INLINE void multiply_block(const Product& p, const Unit* a, const Unit* b, float* c) {
  const int64_t lda = p.lda * 4, ldb = p.ldb * 4, ldc = p.ldc * 4;
  const Unit* a_lower = a + 16 * p.lda;
  float* c_lower = c + 16 * p.ldc;
  if (p.update == Update::set) {
    _tile_zero(0);
    if constexpr (Right) _tile_zero(1);
    if constexpr (Lower) _tile_zero(2);
    if constexpr (Lower && Right) _tile_zero(3);
  } else {
    _tile_loadd(0, c, ldc);
    if constexpr (Right) _tile_loadd(1, c + 16, ldc);
    if constexpr (Lower) _tile_loadd(2, c_lower, ldc);
    if constexpr (Lower && Right) _tile_loadd(3, c_lower + 16, ldc);
  }
  for (int64_t i = 0; i < p.k; i += 16, b += 16 * p.ldb) {
    _tile_loadd(4, a + i, lda);
    _tile_loadd(6, b, ldb);
    _tile_dpbf16ps(0, 4, 6);
    if constexpr (Right) {
      _tile_loadd(7, b + 16, ldb);
      _tile_dpbf16ps(1, 4, 7);
    }
    if constexpr (Lower) {
      _tile_loadd(5, a_lower + i, lda);
      _tile_dpbf16ps(2, 5, 6);
    }
    if constexpr (Lower && Right) _tile_dpbf16ps(3, 5, 7);
  }
  _tile_stored(0, c, ldc);
  if constexpr (Right) _tile_stored(1, c + 16, ldc);
  if constexpr (Lower) _tile_stored(2, c_lower, ldc);
  if constexpr (Lower && Right) _tile_stored(3, c_lower + 16, ldc);
}

static void multiply(const Product& p) {
  if (p.update == Update::scale) {
    for (int64_t column = 0; column < p.n; column += kLanes) {
      const Vec factor = load(p.factor + column);
      // From the second block of keys on most maxima stay as they are.
      if (_mm512_cmpneq_ps_mask((__m512)factor, (__m512)broadcast(1)) == 0) continue;
      for (int64_t r = 0; r < p.m; r++) {
        float* c = p.c + r * p.ldc + column;
        store(c, load(c) * factor);
      }
    }
  }
  // The intrinsics do not tell the compiler that they read and write memory.
  __asm__ volatile("" ::: "memory");
  for (int64_t row = 0; row < p.m; row += 32) {
    const int64_t left = p.m - row, upper = left < 16 ? left : 16, lower = left < 32 ? left - upper : 16;
    if (row == 0 || left < 32) configure(upper, lower);
    const Unit* a = p.a + row * p.lda;
    for (int64_t column = 0; column < p.n; column += 32) {
      const bool right = column + 16 < p.n;
      const Unit* b = p.b + column;
      float* c = p.c + row * p.ldc + column;
      if (lower > 0 && right) {
        multiply_block<true, true>(p, a, b, c);
      } else if (lower > 0) {
        multiply_block<true, false>(p, a, b, c);
      } else if (right) {
        multiply_block<false, true>(p, a, b, c);
      } else {
        multiply_block<false, false>(p, a, b, c);
      }
    }
  }
  _tile_release();
  __asm__ volatile("" ::: "memory");
}
