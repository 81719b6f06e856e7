// The CUDA runtime, or the emulator's twin of it: what the host's side of a device is written with. It knows nothing of
// kernels, so that sources without any need no nvcc (scripts/cuda/nvcc.js compiles them with -x c++).
#pragma once

#include <cstdint>

#include "namespace.h"

#if defined(LORIKEET_CARD)
#include <cuda_runtime_api.h>
#else
#include "sim/runtime.h"
#endif

namespace LORIKEET_CUDA {

#if !defined(LORIKEET_CARD)
using namespace sim::runtime;
#endif

using Stream = cudaStream_t;  // in the emulator launches without one run at once

// Blocks of `size` that cover `count`.
inline unsigned blocks_for(int64_t count, int64_t size) { return static_cast<unsigned>((count + size - 1) / size); }

}  // namespace LORIKEET_CUDA
