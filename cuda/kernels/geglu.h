// geglu: x [.., 2 F] -> y [.., F], y = value gelu(gate) with x = [value | gate] and the exact GELU (Shazeer 2020,
// arXiv 2002.05202). Its gradient: dvalue = dy gelu(gate), dgate = dy value gelu'(gate).
#pragma once

#include "../bf16.h"
#include "../runtime.h"

namespace LORIKEET_CUDA {

template <typename T>
struct Geglu {
  int64_t rows, columns;  // of y
  const T* x;
  T* y;
};

template <typename T>
struct GegluBackward {
  int64_t rows, columns;  // of dy
  const T* dy;
  const T* x;
  T* dx;  // [rows, 2 columns], may be x
};

// For T = float and bf16.
template <typename T>
void launch_geglu(const Geglu<T>& problem, Stream stream);
template <typename T>
void launch_geglu_backward(const GegluBackward<T>& problem, Stream stream);

}  // namespace LORIKEET_CUDA
