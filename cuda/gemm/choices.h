// What the launchers of products are asked for.
#pragma once

#include "../namespace.h"

namespace LORIKEET_CUDA {

// A row of the table in tile.cuh.
enum class TileChoice { t128x128, t128x64, t64x64, t32x16 };

// How b lies in memory. A weight [N, K] serves y = x W^T with k contiguous and dx = dy W with n contiguous (its rows
// are then the reduction), so one copy of it is enough.
enum class BLayout { k_contiguous, n_contiguous };

constexpr int kMaxSegments = 48;  // of a reduction: parameters of a kernel may take 4 KB

}  // namespace LORIKEET_CUDA
