// Tiles of f32 with AVX2 and FMA.
#include "tiles.h"

#pragma GCC target("avx2,fma")

#define LORIKEET_LANES 8
#define LORIKEET_ISA_NAME "avx2"
#define LORIKEET_TILE_OPS avx2_tile_ops

namespace lorikeet::cpu::attention {
namespace {
#include "vector.inc.h"
#include "units_f32.inc.h"
#include "product.inc.h"
#include "matmul.inc.h"
#include "layout.inc.h"
#include "forward.inc.h"
#include "backward.inc.h"
#include "table.inc.h"
