// Which tile a product takes as long as nobody has measured.
#pragma once

#include <string>
#include <vector>

#include "../../native/core/tensor.h"
#include "choices.h"

namespace LORIKEET_CUDA {

// Those that differ in this format.
const std::vector<TileChoice>& tiles_of(DType dtype);

// "128x64", with the rows first.
std::string name_of(TileChoice tile);

// For an output [m, n]: the tile that leaves the fewest multiprocessors idle. An index of tiles_of().
int choose_tile(DType dtype, int64_t m, int64_t n, int multiprocessors);

}  // namespace LORIKEET_CUDA
