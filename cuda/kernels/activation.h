// activation: y = f(x) for each element, and its gradient dx = dy f'(x).
#pragma once

#include "../../native/core/ops/activation.h"
#include "../bf16.h"
#include "../runtime.h"

namespace LORIKEET_CUDA {

template <typename T>
struct Activation {
  int64_t count;
  ActivationKind kind;
  const T* x;
  T* y;  // may be x
};

template <typename T>
struct ActivationBackward {
  int64_t count;
  ActivationKind kind;
  const T* dy;
  const T* x;
  T* dx;  // may be dy
};

// For T = float and bf16.
template <typename T>
void launch_activation(const Activation<T>& problem, Stream stream);
template <typename T>
void launch_activation_backward(const ActivationBackward<T>& problem, Stream stream);

}  // namespace LORIKEET_CUDA
