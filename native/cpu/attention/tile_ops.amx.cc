// Tiles of bf16 with AMX (tdpbf16ps) for the products and AVX-512 BF16 for the rest.
#include "tiles.h"

#include <immintrin.h>

#pragma GCC target("avx512f,avx512bw,avx512vl,avx512dq,avx512bf16,fma,amx-tile,amx-bf16")
// g++ 12 takes the undefined operands inside its own intrinsics for a mistake (GCC bug 105593).
#pragma GCC diagnostic ignored "-Wuninitialized"
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"

#define LORIKEET_LANES 16
#define LORIKEET_UNIT_STEP 16
#define LORIKEET_ISA_NAME "amx_bf16"
#define LORIKEET_TILE_OPS amx_tile_ops

namespace lorikeet::cpu::attention {
namespace {
#include "vector.inc.h"
#include "units_bf16.inc.h"
#include "product.inc.h"
#include "matmul_amx.inc.h"
#include "layout.inc.h"
#include "forward.inc.h"
#include "backward.inc.h"
#include "table.inc.h"
