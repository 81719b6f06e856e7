#include "thin.h"

#include "isa.h"

namespace lorikeet::cpu::thin {

bool available() { return isa().avx512_bf16; }

static Pair pair_of(bf16 low, bf16 high) { return static_cast<Pair>(low) | static_cast<Pair>(high) << 16; }

int64_t packed_pairs(int64_t k, int64_t n) { return (n + 15) / 16 * 16 * ((k + 1) / 2); }

void pack_pairs(const bf16* w, int64_t row, int64_t column, int64_t k, int64_t n, Pair* packed) {
  const int64_t steps = (k + 1) / 2;
  for (int64_t vector = 0; vector < (n + 15) / 16; vector++) {
    for (int64_t step = 0; step < steps; step++) {
      for (int64_t lane = 0; lane < 16; lane++) {
        const int64_t j = vector * 16 + lane;
        const int64_t p = 2 * step;
        Pair& pair = packed[(vector * steps + step) * 16 + lane];
        if (j >= n) {
          pair = 0;
        } else {
          pair = pair_of(w[p * row + j * column], p + 1 < k ? w[(p + 1) * row + j * column] : bf16{0});
        }
      }
    }
  }
}

int64_t packed_rows(int64_t m, int64_t n) { return (m + 1) / 2 * n; }

void pack_rows(const bf16* thin, int64_t row, int64_t m, int64_t n, Pair* packed) {
  for (int64_t p = 0; p < m; p += 2) {
    const bf16* low = thin + p * row;
    const bf16* high = p + 1 < m ? low + row : nullptr;
    for (int64_t j = 0; j < n; j++) packed[p / 2 * n + j] = pair_of(low[j], high ? high[j] : bf16{0});
  }
}

#if !defined(__x86_64__)
void multiply(const bf16*, int64_t, const Pair*, bf16*, int64_t, int64_t, int64_t, int64_t, float, bool) {}
void reduce(const Pair*, const bf16*, int64_t, int64_t, int64_t, int64_t, int64_t, float, float*, int64_t, int64_t) {}
#endif

}  // namespace lorikeet::cpu::thin
