// One backward tile: up to 64 keys against all queries, in blocks of 64 queries; the probabilities are computed again
// from the scores and their log-sum-exp. Included like vector.inc.h, after forward.inc.h.
//
//   P = exp(scale Q Kᵀ - lse)    dV = Pᵀ dO    dS = P ∘ (dO Vᵀ - delta)    dQ = scale dS K    dK = scale dSᵀ Q
//
// Keys are lanes here: dKᵀ and dVᵀ have D rows, so only dQ needs D padded to whole vectors.

// s, dp [rows][width] -> p and ds as right operands of products over the rows, and ds as left operand over the keys.
static void score_gradients(const float* s, const float* dp, const float* lse, const float* delta, int64_t rows,
                            int64_t width, float scale2, Unit* p, Unit* ds, Unit* ds_rows) {
  const Vec scale = broadcast(scale2);
  for (int64_t u = 0; u < units_of(rows); u++) {
    const int64_t r = u * kPack;
    if (r >= rows) {
      clear(p + u * width, width);
      clear(ds + u * width, width);
      continue;
    }
    const bool pair = kPack == 2 && r + 1 < rows;
    const Vec base = broadcast(lse[r] * kLog2E), shift = broadcast(delta[r]);
    const Vec base2 = broadcast(pair ? lse[r + 1] * kLog2E : 0), shift2 = broadcast(pair ? delta[r + 1] : 0);
    for (int64_t c = 0; c < width; c += kLanes) {
      const int64_t at = r * width + c;
      const Vec p1 = exp2(load(s + at) * scale - base);
      const Vec ds1 = p1 * (load(dp + at) - shift);
      Vec p2 = {}, ds2 = {};
      if (pair) {
        p2 = exp2(load(s + at + width) * scale - base2);
        ds2 = p2 * (load(dp + at + width) - shift2);
      }
      store(p + u * width + c, zip_values(p1, p2));
      store(ds + u * width + c, zip_values(ds1, ds2));
      if (kPack == 2) {
        Value* row = reinterpret_cast<Value*>(ds_rows + r * kBlockUnits);
        store_values(row + c, ds1, kLanes);
        if (pair) store_values(row + kTile + c, ds2, kLanes);
      }
    }
  }
}

// Scores that take no part: keys behind the last, and with causal attention keys behind the query.
static void mask_scores(float* s, int64_t rows, int64_t width, const BackwardTile& t, int64_t first_query) {
  for (int64_t r = 0; r < rows; r++) {
    int64_t keys = t.keys;
    if (t.causal) keys = smaller(keys, first_query + r - t.first_key + 1);
    for (int64_t c = keys < 0 ? 0 : keys; c < width; c++) s[r * width + c] = -kInfinity;
  }
}

static void backward(const BackwardTile& t, float* scratch) {
  const int64_t d = t.head_size;
  const int64_t units = units_of(d);
  const int64_t padded = round_up(d, kLanes);
  const int64_t width = round_up(t.keys, kWidthStep);
  Unit* k = scratch;                         // lanes [units][width]
  Unit* v = k + units * kTile;
  Unit* k_pairs = v + units * kTile;         // [U(width)][padded]
  float* s = k_pairs + padded * kTile;       // [queries of the block][width]
  float* dp = s + kTile * kTile;
  Unit* p = dp + kTile * kTile;              // [units of them][width]
  Unit* ds = p + kBlockUnits * kTile;
  Unit* ds_rows = ds + kBlockUnits * kTile;  // [queries of the block][kBlockUnits]
  float* dk = ds_rows + kBlockUnits * kTile; // [d][width]
  float* dv = dk + d * kTile;
  pack_lanes(t.k, t.keys, d, width, k);
  pack_lanes(t.v, t.keys, d, width, v);
  if (t.dq) pack_row_pairs(t.k, t.keys, d, width, k_pairs);
  clear(dk, d * width);
  clear(dv, d * width);

  for (int64_t first = t.causal ? t.first_key / kTile * kTile : 0; first < t.queries; first += kTile) {
    const int64_t n = smaller(kTile, t.queries - first);
    const int64_t block = first / kTile * d * kBlockUnits;
    multiply({n, width, units, t.q_rows + first * units, units, k, width, s, width, Update::set, nullptr});
    multiply({n, width, units, t.do_rows + first * units, units, v, width, dp, width, Update::set, nullptr});
    if (t.causal || t.keys < width) mask_scores(s, n, width, t, first);
    score_gradients(s, dp, t.lse + first, t.delta + first, n, width, t.scale * kLog2E, p, ds, ds_rows);
    if (t.dv.data) {
      multiply({d, width, units_of(n), t.do_columns + block, kBlockUnits, p, width, dv, width, Update::add, nullptr});
    }
    if (t.dk.data) {
      multiply({d, width, units_of(n), t.q_columns + block, kBlockUnits, ds, width, dk, width, Update::add, nullptr});
    }
    if (t.dq) {
      const Unit* left = kPack == 1 ? ds : ds_rows;
      const int64_t stride = kPack == 1 ? width : kBlockUnits;
      float* dq = t.dq + first * padded;
      multiply({n, padded, width / kPack, left, stride, k_pairs, padded, dq, padded, Update::add, nullptr});
    }
  }

  float* factor = s;
  for (int64_t i = 0; i < kTile; i++) factor[i] = 1;
  if (t.dv.data) write_transposed(dv, width, t.keys, d, factor, t.dv);
  for (int64_t i = 0; i < kTile; i++) factor[i] = t.scale;
  if (t.dk.data) write_transposed(dk, width, t.keys, d, factor, t.dk);
}
