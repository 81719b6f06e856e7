// Tiles of f32 with AVX-512.
#include "tiles.h"

#include <immintrin.h>

#pragma GCC target("avx512f,avx512bw,avx512vl,avx512dq,fma")
// g++ 12 takes the undefined operands inside its own intrinsics for a mistake (GCC bug 105593).
#pragma GCC diagnostic ignored "-Wuninitialized"
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"

#define LORIKEET_LANES 16
#define LORIKEET_ISA_NAME "avx512"
#define LORIKEET_TILE_OPS avx512_tile_ops

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
