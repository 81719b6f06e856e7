// What attention and its backward pass ask of a problem.
#pragma once

#include <stdexcept>

#include "attention_backward.h"

namespace LORIKEET_CUDA {

// Whether rows of a head can be moved by `bytes` at a time.
template <typename T>
bool in_pieces(const Tokens<T>& tokens, int head_size, int bytes) {
  const int elements = bytes / static_cast<int>(sizeof(T));
  return reinterpret_cast<uintptr_t>(tokens.data) % bytes == 0 && tokens.stride % elements == 0 &&
         head_size % elements == 0;
}

// The same of every tensor of a problem; those that are absent allow anything.
template <typename T>
bool in_pieces(const Attention<T>& p, int bytes) {
  return in_pieces(p.q, p.head_size, bytes) && in_pieces(p.k, p.head_size, bytes) &&
         in_pieces(p.v, p.head_size, bytes) && in_pieces(p.o, p.head_size, bytes);
}
template <typename T>
bool in_pieces(const AttentionBackward<T>& p, int bytes) {
  return in_pieces(p.q, p.head_size, bytes) && in_pieces(p.k, p.head_size, bytes) &&
         in_pieces(p.v, p.head_size, bytes) && in_pieces(p.o, p.head_size, bytes) &&
         in_pieces(p.d_o, p.head_size, bytes) && in_pieces(p.dq, p.head_size, bytes) &&
         in_pieces(p.dk, p.head_size, bytes) && in_pieces(p.dv, p.head_size, bytes);
}

constexpr int kWidestTensorHead = 160;

// Whether the kernels for tensor cores serve a problem in bf16.
template <class Problem>
bool suits_tensor_cores(const Problem& p) {
  return p.head_size <= kWidestTensorHead && in_pieces(p, 16);
}

// Both throw std::invalid_argument.
template <class Problem>
void require_attention(const Problem& p) {
  if (p.head_size <= 0) throw std::invalid_argument("attention: heads have no columns");
  if (p.keys <= 0) throw std::invalid_argument("attention: there are no keys");
  if (!(p.scale > 0)) throw std::invalid_argument("attention: the scale must be positive");
}
template <class Problem>
void require_tensor_cores(const Problem& p) {
  require_attention(p);
  if (!suits_tensor_cores(p)) {
    throw std::invalid_argument(
        "attention: heads of at most 160 columns, a multiple of 8, in rows that start at multiples of 16 bytes");
  }
}

}  // namespace LORIKEET_CUDA
