// layer_norm_backward, with z = (x - mean) / std:
//
//     dx = (gamma dy - mean(gamma dy) - z mean(gamma dy z)) / std      dgamma += sum of dy z      dbeta += sum of dy
//
// The means are over a row's columns, the sums over rows: blocks of rows in registers, whose number follows from the
// shape alone, then the blocks in their order. dy, x and dx are each moved once.
#pragma once

#include "../bf16.h"
#include "../runtime.h"

namespace LORIKEET_CUDA {

// dy, x, dx [rows, columns] of bf16 or float; gamma [columns], or null for 1; dgamma, dbeta [columns].
template <typename T>
struct LayerNormBackward {
  int rows, columns;
  const T* dy;
  const T* x;
  const float* gamma;
  const float* stats;  // [rows, 2]: mean, 1 / std of x
  T* dx;               // may be dy; null where not wanted, as the next two
  float* dgamma;
  float* dbeta;
  float* workspace;  // layer_norm_backward_workspace elements when dgamma or dbeta is wanted
};

int64_t layer_norm_backward_workspace(int rows, int columns);

template <typename T>
void launch_layer_norm_backward(const LayerNormBackward<T>& problem, Stream stream);  // for T = float and bf16

}  // namespace LORIKEET_CUDA
