// attention: o = softmax(scale q k^T) v in each head, and the log-sum-exp of the scaled scores, which the backward
// pass computes the probabilities from (FlashAttention-2, arXiv 2307.08691). bf16 in and out, sums in f32; the
// probabilities are rounded to bf16 before they meet v.
#pragma once

#include "../launch.cuh"
#include "../numeric.cuh"

namespace LORIKEET_CUDA {

// One row for each token, the tokens of a sample and then the samples following one another: a tensor, or some of its
// columns. Heads are runs of head_size columns.
template <typename T>
struct Tokens {
  T* data = nullptr;   // at a multiple of 16 bytes
  int64_t stride = 0;  // elements from one row to the next, a multiple of 8
};

struct Attention {
  int batch = 0, heads = 0, head_size = 0;
  int queries = 0, keys = 0;  // of a sample
  bool causal = false;        // query i sees keys 0 to i
  float scale = 1.0f;
  Tokens<const bf16> q, k, v;
  Tokens<bf16> o;
  float* lse = nullptr;  // [batch, heads, queries]
};

// Head sizes of up to 160 that are multiples of 8; at least one key; a positive scale. Throws std::invalid_argument for
// others.
void launch_attention(const Attention& problem, Stream stream);

}  // namespace LORIKEET_CUDA
