// One forward tile: up to 64 queries against all keys, in blocks of 64 keys, with the softmax kept up to date as they
// come (Dao et al., FlashAttention, arXiv 2205.14135). Included like vector.inc.h, after layout.inc.h.
//
// All of it is transposed: scores are [keys][queries], so that a query is a lane. Maxima and sums then run down the
// rows without shuffles, D needs no padding (it is a number of rows), and two rows of P make a row of the next right
// operand.

constexpr float kLog2E = 1.44269504088896341f;
constexpr float kLn2 = 0.693147180559945309f;
constexpr float kInfinity = __builtin_inff();

// The state of the softmax per query.
struct Softmax {
  float peak[kTile];    // the largest score so far, before scaling
  float base[kTile];    // exponents are taken relative to this, in units of log 2
  float total[kTile];   // sum of 2^(exponent)
  float factor[kTile];  // what the last block multiplied the sums before it by
};

// s [rows][width] -> p, the units of 2^(s * scale2 - base), and the new state.
static void softmax_block(const float* s, int64_t rows, int64_t width, float scale2, Softmax& state, Unit* p) {
  const Vec scale = broadcast(scale2);
  for (int64_t v = 0; v < width; v += kLanes) {
    const Vec before = load(state.peak + v);
    Vec peak[4] = {before, before, before, before};  // independent chains
    int64_t row = 0;
    for (; row + 4 <= rows; row += 4) {
#pragma GCC unroll 4
      for (int i = 0; i < 4; i++) peak[i] = maximum(load(s + (row + i) * width + v), peak[i]);
    }
    for (; row < rows; row++) peak[0] = maximum(load(s + row * width + v), peak[0]);
    const Vec after = maximum(maximum(peak[0], peak[1]), maximum(peak[2], peak[3]));
    // Where every score so far is -inf any finite base gives the powers 0; -inf would give NaN.
    const Vec base = after == -kInfinity ? Vec{} : after * scale;
    const Vec factor = exp2(before * scale - base);
    Vec total = {};
    if (kPack == 1) {
      for (int64_t r = 0; r < rows; r++) {
        const Vec power = exp2(load(s + r * width + v) * scale - base);
        total = total + power;
        store(p + r * width + v, power);
      }
    } else {
      for (row = 0; row + 2 <= rows; row += 2) {
        const Vec even = exp2(load(s + row * width + v) * scale - base);
        const Vec odd = exp2(load(s + (row + 1) * width + v) * scale - base);
        total = total + (even + odd);
        store(p + row / 2 * width + v, zip_values(even, odd));
      }
      if (row < rows) {
        const Vec even = exp2(load(s + row * width + v) * scale - base);
        total = total + even;
        store(p + row / 2 * width + v, zip_values(even, Vec{}));
      }
    }
    for (int64_t u = (rows + kPack - 1) / kPack; u < units_of(rows); u++) store(p + u * width + v, Vec{});
    store(state.peak + v, after);
    store(state.base + v, base);
    store(state.total + v, load(state.total + v) * factor + total);
    store(state.factor + v, factor);
  }
}

static void forward(const ForwardTile& t, float* scratch) {
  const int64_t d = t.head_size;
  const int64_t units = units_of(d);
  const int64_t width = round_up(t.queries, kLanes);
  Unit* q = scratch;                       // lanes [units][width]
  float* s = q + units * kTile;            // [keys of the block][width]
  Unit* p = s + kTile * kTile;             // [units of them][width]
  float* o = p + kBlockUnits * kTile;      // [d][width]
  float* inverse = o + d * kTile;          // [width]
  Softmax state;
  for (int64_t i = 0; i < kTile; i++) {
    state.peak[i] = -kInfinity;
    state.total[i] = 0;
  }
  clear(o, d * width);
  pack_lanes(t.q, t.queries, d, width, q);

  const int64_t keys = t.causal ? smaller(t.keys, t.first_query + t.queries) : t.keys;
  for (int64_t first = 0; first < keys; first += kTile) {
    const int64_t n = smaller(kTile, keys - first);
    multiply({n, width, units, t.k_rows + first * units, units, q, width, s, width, Update::set, nullptr});
    if (t.causal) {
      for (int64_t r = 0; r < n; r++) {
        const int64_t masked = smaller(width, first + r - t.first_query);  // queries before the key
        for (int64_t i = 0; i < masked; i++) s[r * width + i] = -kInfinity;
      }
    }
    softmax_block(s, n, width, t.scale * kLog2E, state, p);
    const Unit* v = t.v_columns + first / kTile * d * kBlockUnits;
    multiply({d, width, units_of(n), v, kBlockUnits, p, width, o, width, Update::scale, state.factor});
  }

  for (int64_t i = 0; i < width; i++) inverse[i] = 1.0f / state.total[i];
  write_transposed(o, width, t.queries, d, inverse, t.o);
  for (int64_t i = 0; i < t.queries; i++) {
    t.lse[i] = state.base[i] * kLn2 + __builtin_logf(state.total[i]);
  }
}
