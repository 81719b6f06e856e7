// A sequence of matrix products over the same M rows: dst[M, n] = scale * src[M, k] * weights (+ bias) (+ dst). The
// fused low-rank product of `linear` and its gradients are such sequences. They are run block of rows by block of rows,
// each block on one thread, so that what one product writes is still in its core's cache when the next one adds to it.
#pragma once

#include "kernel.h"
#include "matmul.h"
#include "weight_feed.h"

namespace lorikeet::cpu {

// Columns of an operand of the instruction, seen as a matrix of M rows.
struct Columns {
  bool output = false;
  size_t operand = 0;
  int64_t first = 0;   // column
  int64_t stride = 0;  // elements from row to row
  DType dtype = DType::f32;
};

struct RowProduct {
  Columns src;  // [M, k]
  Columns dst;  // [M, n]
  int64_t n = 0;
  int64_t k = 0;

  WeightFeed weights;  // dims {k, n}

  // A factor of an adapter: element (p, j) of the operand `weights` at [p * row + j * column]. Such products run in
  // thin.h where that is faster.
  bool adapter = false;
  size_t adapter_input = 0;
  int64_t adapter_row = 0;
  int64_t adapter_column = 0;
  void set_adapter(size_t input, int64_t row, int64_t column, DType dtype) {
    weights = WeightFeed::of_operand(input, strided_desc({k, n}, dtype, {row, column}));
    adapter = true;
    adapter_input = input;
    adapter_row = row;
    adapter_column = column;
  }

  int bias = -1;  // input operand
  float scale = 1;
  bool accumulate = false;
};

class RowProducts {
 public:
  RowProducts(const KernelRequest& request, int64_t rows, std::vector<RowProduct> products);
  void run(const Operands& operands);

 private:
  struct Stage {
    RowProduct product;
    bool thin = false;
    Matmul block;                   // of block_rows_ rows
    Matmul rest;                    // of the last block
    int64_t weights_at = 0;         // bytes into the scratch
    const void* weights = nullptr;  // for the run under way
  };
  void run_block(const Operands& operands, int slot, int64_t first, int64_t rows);

  int64_t rows_;
  int64_t block_rows_;
  int slots_;
  std::vector<Stage> stages_;
  Scratch& scratch_;
  int64_t pads_at_ = 0;
  int64_t pad_bytes_ = 0;
};

}  // namespace lorikeet::cpu
