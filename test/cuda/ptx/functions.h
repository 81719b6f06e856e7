// Functions of CUDA's mathematical library, which nvcc writes into a kernel's PTX. The host has others under these
// names, with other roundings; so that kernels can be compared to the bit, the check's programs take them from nvcc too.
#pragma once

#define LORIKEET_PTX_FUNCTIONS(apply) \
  apply(erff) apply(erfcf) apply(expf) apply(logf) apply(sinf) apply(cosf) apply(tanhf)
