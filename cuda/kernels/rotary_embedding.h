// rotary_embedding: neighbouring columns (2i, 2i + 1) of each head are turned by the angle of their token and of i,
// (a, b) -> (a cos - b sin, b cos + a sin) (Su et al. 2021, arXiv 2104.09864). Backwards it is its own gradient.
#pragma once

#include "../bf16.h"
#include "../runtime.h"

namespace LORIKEET_CUDA {

// x, y [samples, tokens, columns] of bf16 or float, columns = heads of 2 pairs; cos, sin [tokens, pairs].
template <typename T>
struct RotaryEmbedding {
  int samples, tokens, columns, pairs;
  bool inverse;  // by the negative angle
  const T* x;
  const float* cos;
  const float* sin;
  T* y;  // may be x
};

template <typename T>
void launch_rotary_embedding(const RotaryEmbedding<T>& problem, Stream stream);  // for T = float and bf16

}  // namespace LORIKEET_CUDA
