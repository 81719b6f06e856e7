#include "functions.h"

#define LORIKEET_PTX_FUNCTION(name) \
  extern "C" __global__ void name##_of(const float* x, float* y) { y[threadIdx.x] = name(x[threadIdx.x]); }
LORIKEET_PTX_FUNCTIONS(LORIKEET_PTX_FUNCTION)
