// Moving matrices between memory and the packed layouts (tiles.h), a square of kLanes x kLanes units at a time.
// Included like vector.inc.h, after it; the units_*.inc.h before it defines what a unit is.

constexpr int64_t kBlockUnits = kTile / kPack;

// Right operands are a multiple of this wide, so that their width can be a sum's length as well.
constexpr int64_t kWidthStep = kLanes > kUnitStep * kPack ? kLanes : kUnitStep * kPack;

INLINE int64_t smaller(int64_t a, int64_t b) { return a < b ? a : b; }
INLINE int64_t round_up(int64_t n, int64_t step) { return (n + step - 1) / step * step; }
INLINE int64_t units_of(int64_t values) { return round_up((values + kPack - 1) / kPack, kUnitStep); }
INLINE Value* row_of(Matrix x, int64_t row) { return static_cast<Value*>(x.data) + row * x.stride; }
INLINE void clear(float* p, int64_t n) { __builtin_memset(p, 0, static_cast<size_t>(n) * sizeof(float)); }

template <int Step>
INLINE void swap_diagonal_blocks(Vec* x) {
  VecInt upper, lower;
  for (int j = 0; j < kLanes; j++) {
    upper[j] = j & Step ? kLanes + j - Step : j;
    lower[j] = j & Step ? kLanes + j : j + Step;
  }
#pragma GCC unroll 16
  for (int i = 0; i < kLanes; i++) {
    if (i & Step) continue;
    const Vec a = x[i], b = x[i + Step];
    x[i] = __builtin_shuffle(a, b, upper);
    x[i + Step] = __builtin_shuffle(a, b, lower);
  }
}

// x[i][j] <-> x[j][i]
INLINE void transpose(Vec* x) {
  swap_diagonal_blocks<1>(x);
  swap_diagonal_blocks<2>(x);
  if constexpr (kLanes > 4) swap_diagonal_blocks<4>(x);
  if constexpr (kLanes > 8) swap_diagonal_blocks<8>(x);
}

// Units of a row from `first` on; zero behind the row's end.
INLINE Vec load_units(const Value* row, int64_t columns, int64_t first) {
  const int64_t left = columns - first * kPack;
  if (left >= kLanes * kPack) return load(reinterpret_cast<const float*>(row + first * kPack));
  return left > 0 ? load_last_units(row + first * kPack, left) : Vec{};
}

// square[i] = unit first + i of kLanes rows from `row` on.
INLINE void load_square(Matrix x, int64_t rows, int64_t columns, int64_t row, int64_t first, Vec* square) {
  for (int64_t i = 0; i < kLanes; i++) {
    square[i] = row + i < rows ? load_units(row_of(x, row + i), columns, first) : Vec{};
  }
  transpose(square);
}

static void pack_rows(Matrix x, int64_t rows, int64_t columns, Unit* out) {
  const int64_t units = units_of(columns);
  const int64_t whole = columns / kPack / kLanes * kLanes;
  for (int64_t r = 0; r < rows; r++, out += units) {
    const Value* row = row_of(x, r);
    for (int64_t u = 0; u < whole; u += kLanes) store(out + u, load(reinterpret_cast<const float*>(row + u * kPack)));
    if (whole == units) continue;
    clear(out + whole, units - whole);
    __builtin_memcpy(out + whole, row + whole * kPack, static_cast<size_t>(columns - whole * kPack) * sizeof(Value));
  }
}

// x [rows <= width, columns] -> layout lanes, `width` a multiple of kLanes.
static void pack_lanes(Matrix x, int64_t rows, int64_t columns, int64_t width, Unit* out) {
  const int64_t units = units_of(columns);
  Vec square[kLanes];
  for (int64_t u = 0; u < units; u += kLanes) {
    const int64_t count = smaller(kLanes, units - u);
    for (int64_t r = 0; r < width; r += kLanes) {
      load_square(x, rows, columns, r, u, square);
      for (int64_t i = 0; i < count; i++) store(out + (u + i) * width + r, square[i]);
    }
  }
}

static void pack_columns(Matrix x, int64_t rows, int64_t columns, Unit* out) {
  Vec square[kLanes];
  Value* values = reinterpret_cast<Value*>(out);  // [columns][kTile]
  for (int64_t c = 0; c < columns; c += kLanes * kPack) {
    for (int64_t r = 0; r < kTile; r += kLanes) {
      load_square(x, rows, columns, r, c / kPack, square);
      const int64_t count = smaller(kLanes, (columns - c + kPack - 1) / kPack);
      for (int64_t i = 0; i < count; i++) {
        const int64_t column = c + i * kPack;
        unzip_units(square[i], values + column * kTile + r, kTile, columns - column);
      }
    }
  }
}

// x [rows, columns] -> [U(width)][padded columns], a unit being the values of kPack consecutive rows: the right operand
// of a product over rows.
static void pack_row_pairs(Matrix x, int64_t rows, int64_t columns, int64_t width, Unit* out) {
  const int64_t padded = round_up(columns, kLanes);
  for (int64_t u = 0; u < width / kPack; u++) {
    for (int64_t c = 0; c < padded; c += kLanes) {
      const int64_t n = smaller(kLanes, columns - c);
      const Vec first = u * kPack < rows ? load_values(row_of(x, u * kPack) + c, n) : Vec{};
      const Vec second = u * kPack + 1 < rows && kPack > 1 ? load_values(row_of(x, u * kPack + 1) + c, n) : Vec{};
      store(out + u * padded + c, zip_values(first, second));
    }
  }
}

// y[r, c] = x[c][r] * factor[r], x [columns][width].
static void write_transposed(const float* x, int64_t width, int64_t rows, int64_t columns, const float* factor,
                             Matrix y) {
  Vec square[kLanes];
  for (int64_t c = 0; c < columns; c += kLanes) {
    const int64_t count = smaller(kLanes, columns - c);
    for (int64_t r = 0; r < rows; r += kLanes) {
      for (int64_t i = 0; i < kLanes; i++) {
        square[i] = i < count ? load(x + (c + i) * width + r) * load(factor + r) : Vec{};
      }
      transpose(square);
      for (int64_t i = 0; i < smaller(kLanes, rows - r); i++) store_values(row_of(y, r + i) + c, square[i], count);
    }
  }
}

static void row_dots(Matrix a, Matrix b, int64_t rows, int64_t columns, float* out) {
  for (int64_t r = 0; r < rows; r++) {
    const Value* x = row_of(a, r);
    const Value* y = row_of(b, r);
    Vec sum = {};
    for (int64_t c = 0; c < columns; c += kLanes) {
      const int64_t n = smaller(kLanes, columns - c);
      sum = sum + load_values(x + c, n) * load_values(y + c, n);
    }
    float total = 0;
    for (int64_t i = 0; i < kLanes; i++) total += sum[i];
    out[r] = total;
  }
}

static void sum_parts(const float* x, int64_t parts, int64_t part_stride, int64_t rows, int64_t columns, float scale,
                      Matrix y) {
  const int64_t padded = round_up(columns, kLanes);
  for (int64_t r = 0; r < rows; r++) {
    for (int64_t c = 0; c < columns; c += kLanes) {
      Vec sum = load(x + r * padded + c);
      for (int64_t part = 1; part < parts; part++) sum = sum + load(x + part * part_stride + r * padded + c);
      store_values(row_of(y, r) + c, sum * scale, smaller(kLanes, columns - c));
    }
  }
}
