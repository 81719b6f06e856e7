#include <cstdlib>
#include <cstring>

#include "../isa.h"
#include "tiles.h"

namespace lorikeet::cpu::attention {

static const TileOps& choose(DType dtype) {
  const char* held = std::getenv("LORIKEET_CPU_ISA");
  const auto held_to = [held](const char* name) { return held && std::strcmp(held, name) == 0; };
#if defined(__x86_64__)
  if (dtype == DType::bf16) {
    require(isa().avx512_bf16, "attention: this processor has no bf16 arithmetic");
    return isa().amx_bf16 && held_to("amx") ? amx_tile_ops : avx512_bf16_tile_ops;
  }
  if (held_to("generic")) return generic_tile_ops;
  if (isa().avx512 && !held_to("avx2")) return avx512_tile_ops;
  if (isa().avx2) return avx2_tile_ops;
#endif
  require(dtype == DType::f32, "attention: this processor has no bf16 arithmetic");
  return generic_tile_ops;
}

const TileOps& tile_ops(DType dtype) {
  static const TileOps& f32 = choose(DType::f32);
  if (dtype == DType::f32) return f32;
  static const TileOps& bf16 = choose(DType::bf16);
  return bf16;
}

}  // namespace lorikeet::cpu::attention
