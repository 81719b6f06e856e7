// The product of product.inc.h on vectors: register tiles of sums, one broadcast unit of A times a row of B at a time.
// Included like vector.inc.h, after product.inc.h. mac(a, b, c) of the units is c + a * b, per lane.

// Accumulators of a register tile: 6 rows of 4 vectors leave 8 of AVX-512's 32 registers for operands and reach 90 to
// 95% of the peak of vdpbf16ps on Zen 5 for K of 20 to 64 units; 8 rows of 3 are 1 to 3% slower, 12 rows of 2 3 to 7%.
constexpr int kMaxVectors = kLanes == 16 ? 4 : 2;
constexpr int kMaxRows = 6;

// The sum is cut so that B's part, 64 lanes wide, stays in half of a 48 KB first-level cache.
constexpr int64_t kMaxUnits = 96;

template <int Rows, int Vectors>
__attribute__((noinline)) void multiply_tile(const Product& p) {
  Vec sum[Rows][Vectors];
#pragma GCC unroll 8
  for (int r = 0; r < Rows; r++) {
#pragma GCC unroll 8
    for (int v = 0; v < Vectors; v++) sum[r][v] = Vec{};
  }
  const Unit* a = p.a;
  const Unit* b = p.b;
  const int64_t lda = p.lda;
  for (int64_t i = 0; i < p.k; i++, a++, b += p.ldb) {
    Vec right[Vectors];
#pragma GCC unroll 8
    for (int v = 0; v < Vectors; v++) right[v] = load(b + v * kLanes);
#pragma GCC unroll 8
    for (int r = 0; r < Rows; r++) {
      const Vec left = broadcast(a[r * lda]);
#pragma GCC unroll 8
      for (int v = 0; v < Vectors; v++) sum[r][v] = mac(left, right[v], sum[r][v]);
    }
  }
#pragma GCC unroll 8
  for (int r = 0; r < Rows; r++) {
#pragma GCC unroll 8
    for (int v = 0; v < Vectors; v++) {
      float* c = p.c + r * p.ldc + v * kLanes;
      if (p.update == Update::add) sum[r][v] = load(c) + sum[r][v];
      if (p.update == Update::scale) sum[r][v] = load(c) * load(p.factor + v * kLanes) + sum[r][v];
      store(c, sum[r][v]);
    }
  }
}

template <int Vectors>
void multiply_rows(const Product& p, int64_t rows) {
  switch (rows) {
    case 1: return multiply_tile<1, Vectors>(p);
    case 2: return multiply_tile<2, Vectors>(p);
    case 3: return multiply_tile<3, Vectors>(p);
    case 4: return multiply_tile<4, Vectors>(p);
    case 5: return multiply_tile<5, Vectors>(p);
    default: return multiply_tile<6, Vectors>(p);
  }
}

INLINE int64_t ceil_divide(int64_t a, int64_t b) { return (a + b - 1) / b; }

// The length of piece i when n is cut into `pieces` of nearly equal length. Equal ones, since a last short tile would
// have too few sums under way to hide the latency of the multiplications.
INLINE int64_t piece_length(int64_t n, int64_t pieces, int64_t i) { return (n + pieces - 1 - i) / pieces; }

static void multiply(const Product& p) {
  const int64_t row_pieces = ceil_divide(p.m, kMaxRows);
  const int64_t vectors = p.n / kLanes;
  const int64_t column_pieces = ceil_divide(vectors, kMaxVectors);
  const int64_t unit_pieces = ceil_divide(p.k, kMaxUnits);
  int64_t column = 0;
  for (int64_t j = 0; j < column_pieces; j++) {
    const int64_t width = piece_length(vectors, column_pieces, j);
    int64_t unit = 0;
    for (int64_t l = 0; l < unit_pieces; l++) {
      Product part = p;
      part.k = piece_length(p.k, unit_pieces, l);
      part.a = p.a + unit;
      part.b = p.b + unit * p.ldb + column;
      part.c = p.c + column;
      part.factor = p.factor ? p.factor + column : nullptr;
      if (l > 0) part.update = Update::add;
      for (int64_t i = 0; i < row_pieces; i++) {
        const int64_t rows = piece_length(p.m, row_pieces, i);
        if (width == 1) multiply_rows<1>(part, rows);
        if (width == 2) multiply_rows<2>(part, rows);
        if constexpr (kMaxVectors == 4) {
          if (width == 3) multiply_rows<3>(part, rows);
          if (width == 4) multiply_rows<4>(part, rows);
        }
        part.a += rows * p.lda;
        part.c += rows * p.ldc;
      }
      unit += part.k;
    }
    column += width * kLanes;
  }
}
