// Tiles of f32 for any processor.
#include "tiles.h"

#define LORIKEET_LANES 4
#define LORIKEET_ISA_NAME "generic"
#define LORIKEET_TILE_OPS generic_tile_ops

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
