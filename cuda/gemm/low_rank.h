// The adapters of a product.
#pragma once

#include <cstdint>
#include <vector>

#include "choices.h"

namespace LORIKEET_CUDA {

// One adapter's contribution to some columns of y.
template <typename T>
struct LowRankUp {
  const T* h;  // [m, rank]
  int64_t h_stride;
  const T* up;  // [columns, rank], or [rank, columns] with n contiguous
  int64_t up_stride;
  int rank;
  int column, columns;
  float scale;
};

}  // namespace LORIKEET_CUDA
