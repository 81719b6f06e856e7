// Where the rows of a head lie in the tensors of attention.
#pragma once

#include "../numeric.cuh"

namespace LORIKEET_CUDA {

// One head of one sample: `rows` tokens of `columns` elements.
template <typename T>
struct HeadRows {
  Global<const T> data;
  int64_t stride;
  int rows, columns;
};

// The tokens of all samples and heads.
template <typename T>
struct TokenRows {
  Global<const T> data;
  int64_t stride;
  int rows;  // of a sample

  __device__ __forceinline__ HeadRows<T> head(int sample, int head, int head_size) const {
    return {data + (static_cast<int64_t>(sample) * rows * stride + head * head_size), stride, rows, head_size};
  }
};

}  // namespace LORIKEET_CUDA
