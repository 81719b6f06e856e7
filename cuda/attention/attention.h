// attention: o = softmax(scale q k^T) v in each head, and the log-sum-exp of the scaled scores, which the backward
// pass computes the probabilities from (FlashAttention-2, arXiv 2307.08691). Sums are in f32; scores are never stored.
#pragma once

#include "../bf16.h"
#include "../runtime.h"

namespace LORIKEET_CUDA {

// One row for each token, the tokens of a sample and then the samples following one another: a tensor, or some of its
// columns. Heads are runs of head_size columns.
template <typename T>
struct Tokens {
  T* data = nullptr;
  int64_t stride = 0;  // elements from one row to the next
};

template <typename T>
struct Attention {
  int batch = 0, heads = 0, head_size = 0;
  int queries = 0, keys = 0;  // of a sample
  bool causal = false;        // query i sees keys 0 to i
  float scale = 1.0f;
  Tokens<const T> q, k, v;
  Tokens<T> o;
  float* lse = nullptr;  // [batch, heads, queries]
};

// Both need at least one key and a positive scale, and throw std::invalid_argument for what they cannot do.

// On tensor cores. The probabilities are rounded to bf16 before they meet v. Head sizes of up to 160 that are multiples
// of 8; rows start at multiples of 16 bytes.
void launch_attention(const Attention<bf16>& problem, Stream stream);

// In f32 on the ordinary units, for T = float and bf16: any head size, rows that start anywhere.
template <typename T>
void launch_attention_simt(const Attention<T>& problem, Stream stream);

}  // namespace LORIKEET_CUDA
