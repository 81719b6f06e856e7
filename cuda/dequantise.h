// Opens a quantised weight: plain row-major values of the dtype in which programs read it, to the bit those of dequantise
// of native/core/quantise.h.
#pragma once

#include "../native/core/quantise.h"

#include "bf16.h"
#include "runtime.h"

namespace LORIKEET_CUDA {

// T is float or bf16. `stored` is what quantise wrote (stored_layout of storage and shape), at a multiple of 16 bytes.
template <typename T>
void launch_dequantise(const void* stored, Storage storage, const Shape& shape, T* to, Stream stream);

}  // namespace LORIKEET_CUDA
