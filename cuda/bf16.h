// bf16 as hosts pass it on, and what accesses of 16 bytes ask of an address.
#pragma once

#include <cstdint>

#include "namespace.h"

namespace LORIKEET_CUDA {

struct bf16 {
  uint16_t bits;
};

// As many elements as one access moves.
template <typename T>
constexpr int kPerAccess = 16 / static_cast<int>(sizeof(T));

// Whether all of them allow accesses of 16 bytes.
template <typename... T>
bool aligned(const T*... pointers) {
  return ((reinterpret_cast<uintptr_t>(pointers) % 16 == 0) && ...);
}

// A matrix whose every row does. `stride`: elements from one row to the next.
template <typename T>
bool aligned(const T* pointer, int64_t stride) {
  return aligned(pointer) && stride % kPerAccess<T> == 0;
}

}  // namespace LORIKEET_CUDA
