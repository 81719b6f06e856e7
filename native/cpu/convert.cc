#include "convert.h"

#include "elementwise.h"

namespace lorikeet::cpu {

LORIKEET_CLONES static void widen(const bf16* from, float* to, int64_t n) {
  for (int64_t i = 0; i < n; i++) to[i] = to_f32(from[i]);
}

LORIKEET_CLONES static void narrow(const float* from, bf16* to, int64_t n) {
  for (int64_t i = 0; i < n; i++) to[i] = to_bf16(from[i]);
}

void convert_row(const bf16* from, float* to, int64_t n) { widen(from, to, n); }
void convert_row(const float* from, bf16* to, int64_t n) { narrow(from, to, n); }

}  // namespace lorikeet::cpu
