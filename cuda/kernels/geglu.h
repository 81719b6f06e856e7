// geglu: x [.., 2 F] -> y [.., F], y = x[:, :F] * gelu(x[:, F:]) with the exact GELU (Shazeer 2020, arXiv 2002.05202).
#pragma once

#include "../launch.cuh"
#include "../numeric.cuh"

namespace LORIKEET_CUDA {

template <typename T>
struct Geglu {
  int rows, columns;  // of y
  const T* x;
  T* y;
};

template <typename T>
void launch_geglu(const Geglu<T>& problem, Stream stream);  // for T = float and bf16

}  // namespace LORIKEET_CUDA
