// What attention and its backward pass ask of a problem. Both throw std::invalid_argument.
#pragma once

#include <stdexcept>

#include "attention.h"

namespace LORIKEET_CUDA {

inline void require_attention(int head_size, int keys, float scale) {
  if (head_size <= 0 || head_size > 160 || head_size % 8 != 0) {
    throw std::invalid_argument("attention: the head size must be a multiple of 8 up to 160");
  }
  if (keys <= 0) throw std::invalid_argument("attention: there are no keys");
  if (!(scale > 0)) throw std::invalid_argument("attention: the scale must be positive");
}

template <typename T>
void require_rows(const Tokens<T>& tokens) {
  if (reinterpret_cast<uintptr_t>(tokens.data) % 16 != 0 || tokens.stride % 8 != 0) {
    throw std::invalid_argument("attention: rows must start at multiples of 16 bytes");
  }
}

}  // namespace LORIKEET_CUDA
