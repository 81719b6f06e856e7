// Functions of CUDA's mathematical library, which nvcc writes into a kernel's PTX. The host has others of the same
// names that round differently; so that kernels can be compared to the bit, the check's programs take nvcc's.
#pragma once

#define LORIKEET_PTX_FUNCTIONS(apply) \
  apply(erff) apply(erfcf) apply(expf) apply(expm1f) apply(logf) apply(sinf) apply(cosf) apply(tanhf)
