// attention_backward: the gradients of q, k and v from o, its log-sum-exp and do (FlashAttention-2, arXiv 2307.08691).
// Probabilities are computed again, never stored:
//
//     p = exp(scale q k^T - lse)      ds = p (do v^T - delta), delta = the sums of do o over a row
//     dv = p^T do      dk = scale ds^T q      dq = scale ds k
//
// Sums are in f32. One kernel walks over the queries of a tile of keys for dk and dv, another over the keys of a tile
// of queries for dq: seven products instead of five, but every sum has one owner and one order. On tensor cores dk and dv
// of few keys are summed over parts of the queries, which a third kernel adds up.
#pragma once

#include "attention.h"

namespace LORIKEET_CUDA {

template <typename T>
struct AttentionBackward {
  int batch = 0, heads = 0, head_size = 0;
  int queries = 0, keys = 0;  // of a sample
  bool causal = false;        // query i sees keys 0 to i
  float scale = 1.0f;
  Tokens<const T> q, k, v, o, d_o;
  const float* lse = nullptr;  // [batch, heads, queries]
  float* delta = nullptr;      // scratch [batch, heads, queries]
  float* sums = nullptr;       // scratch, attention_backward_sums of them
  Tokens<T> dq, dk, dv;        // null where not wanted
};

// What launch_attention_backward works in beside delta: nothing unless there are few keys and many queries.
int64_t attention_backward_sums(const AttentionBackward<bf16>& problem);

// As launch_attention; p and ds are rounded to bf16 before their products.
void launch_attention_backward(const AttentionBackward<bf16>& problem, Stream stream);

// As launch_attention_simt.
template <typename T>
void launch_attention_backward_simt(const AttentionBackward<T>& problem, Stream stream);

}  // namespace LORIKEET_CUDA
