// One matrix product by oneDNN: dst[m, n] = scale * src[m, k] * weights[k, n] + bias[n] (+ dst), accumulated in f32 and
// rounded once to the type of dst. Shapes, strides and types are fixed when it is made; pointers come with run().
#pragma once

#include "dnnl.h"

namespace lorikeet::cpu {

struct MatmulShape {
  int64_t m = 0, n = 0, k = 0;
  DType dtype = DType::f32;  // of src and weights
  DType dst_dtype = DType::f32;
  int64_t src_row = 0, src_column = 1;  // strides in elements
  int64_t dst_row = 0;
  Desc weights;  // dims {k, n}: strided_desc, or a packed layout
  bool bias = false;  // f32; added before scaling, so only together with scale 1
  float scale = 1;
  bool accumulate = false;
};

class Matmul {
 public:
  Matmul() = default;
  // `slots`: how many threads may run it at the same time; above one, each run uses only its own thread.
  Matmul(const MatmulShape& shape, int slots);
  int64_t scratch_bytes() const { return scratch_bytes_; }  // for each slot
  void run(int slot, const void* src, const void* weights, const float* bias, void* dst, void* scratch);
  const std::string& implementation() const { return implementation_; }

 private:
  std::vector<BoundPrimitive> slots_;
  int64_t scratch_bytes_ = 0;
  std::string implementation_;
};

// The layout that oneDNN prefers for weights {k, n}, whatever the number of rows: programs of different sizes share it.
Desc packed_weights(int64_t k, int64_t n, DType dtype);

}  // namespace lorikeet::cpu
