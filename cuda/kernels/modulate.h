// modulate: y = x (1 + scale) + shift, and gate: y = x + gate z (Peebles and Xie 2022, arXiv 2212.09748). scale, shift
// and gate are vectors of a sample, one for all of its rows. Their gradients are one kernel:
//
//     dx = dy (plus + scale)      dscale = sum of dy x      dshift = sum of dy
//
// where for gate x is z, scale is gate and plus is 0 instead of 1. The sums are over the rows of a sample, in parts of
// one size whatever the card, then over the parts in their order. Each tensor is moved once.
#pragma once

#include "../bf16.h"
#include "../runtime.h"

namespace LORIKEET_CUDA {

// x, y [samples, rows, columns] of bf16 or float; scale, shift [samples, columns].
template <typename T>
struct Modulate {
  int64_t samples, rows;
  int columns;
  const T* x;
  const T* scale;
  const T* shift;
  T* y;  // may be x
};

// x, z, y [samples, rows, columns] of bf16 or float; gate [samples, columns].
template <typename T>
struct Gate {
  int64_t samples, rows;
  int columns;
  const T* x;
  const T* z;
  const T* gate;
  T* y;  // may be x or z
};

// dy, x, dx [samples, rows, columns] of bf16 or float; scale, dscale, dshift [samples, columns].
template <typename T>
struct ModulateBackward {
  int64_t samples, rows;
  int columns;
  float plus;
  const T* dy;
  const T* x;  // read for dscale only
  const T* scale;
  T* dx;  // may be dy; null where not wanted, as the next two
  T* dscale;
  T* dshift;
  float* workspace;  // modulate_backward_workspace elements when dscale or dshift is wanted
};

int64_t modulate_backward_workspace(int64_t samples, int64_t rows, int columns);

// For T = float and bf16.
template <typename T>
void launch_modulate(const Modulate<T>& problem, Stream stream);
template <typename T>
void launch_gate(const Gate<T>& problem, Stream stream);
template <typename T>
void launch_modulate_backward(const ModulateBackward<T>& problem, Stream stream);

}  // namespace LORIKEET_CUDA
