// Extents as kernels count them.
#pragma once

#include <climits>

#include "op.h"

namespace LORIKEET_CUDA {

// Throws Error for one that they cannot count.
inline int extent(const CudaRequest& request, int64_t value) {
  require(value <= INT_MAX, request.instruction.op, ": an extent of ", value,
          " is more than the CUDA devices can count");
  return static_cast<int>(value);
}

}  // namespace LORIKEET_CUDA
