// Marks small functions of numbers that every device computes with.
#pragma once

#if defined(__CUDACC__)
#define LORIKEET_ANYWHERE __host__ __device__ __forceinline__
#else
#define LORIKEET_ANYWHERE inline __attribute__((always_inline))
#endif
