// rms_norm: each row of x is divided by the root of the mean of its squares; y = x s weight with s = 1 / sqrt(mean(x^2)
// + eps) (Zhang and Sennrich 2019, arXiv 1910.07467).
//
// rms_norm_backward, with z = x s:
//
//     dx = (weight dy - z mean(weight dy z)) s      dweight += sum of dy z
//
// The mean is over a row's columns, the sum over rows: blocks of rows, whose number follows from the shape alone, then
// the blocks in their order. Rows are short where this serves queries and keys (a head of 64 or 128), so a warp has
// several.
#pragma once

#include "../bf16.h"
#include "../runtime.h"

namespace LORIKEET_CUDA {

// x, y [rows, columns] of bf16 or float; weight [columns]; stats [rows]: s.
template <typename T>
struct RmsNorm {
  int rows, columns;
  float eps;
  const T* x;
  const float* weight;
  T* y;
  float* stats;
};

// dy, x, dx [rows, columns] of bf16 or float; weight, dweight [columns]; stats [rows].
template <typename T>
struct RmsNormBackward {
  int rows, columns;
  const T* dy;
  const T* x;
  const float* weight;
  const float* stats;
  T* dx;             // may be dy; null where not wanted, as the next
  float* dweight;
  float* workspace;  // rms_norm_backward_workspace elements when dweight is wanted
};

int64_t rms_norm_backward_workspace(int rows, int columns);

// For T = float and bf16.
template <typename T>
void launch_rms_norm(const RmsNorm<T>& problem, Stream stream);
template <typename T>
void launch_rms_norm_backward(const RmsNormBackward<T>& problem, Stream stream);

}  // namespace LORIKEET_CUDA
