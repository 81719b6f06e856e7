// Units of one f32. Included like vector.inc.h, after it.

using Value = float;
constexpr int64_t kPack = 1;
constexpr int64_t kUnitStep = 1;

INLINE Vec mac(Vec a, Vec b, Vec c) { return a * b + c; }

// n values, zero behind them.
INLINE Vec load_values(const Value* p, int64_t n) {
  if (n >= kLanes) return load(p);
  float values[kLanes] = {};
  for (int64_t i = 0; i < n; i++) values[i] = p[i];
  return load(values);
}
INLINE void store_values(Value* p, Vec x, int64_t n) {
  if (n >= kLanes) return store(p, x);
  for (int64_t i = 0; i < n; i++) p[i] = x[i];
}

// The last values of a row, fewer than fill a vector of units; zero behind them.
INLINE Vec load_last_units(const Value* p, int64_t n) { return load_values(p, n); }

INLINE Vec zip_values(Vec first, Vec) { return first; }
INLINE void unzip_units(Vec units, Value* out, int64_t, int64_t) { store(out, units); }
