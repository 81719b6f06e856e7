// The adapter operands and attributes that `linear` and `conv2d` share: y += scale * (x * down) * up, with several
// adapters on a layer and several ups (of other output columns, fed by other columns of h) on one adapter.
#pragma once

#include "kernel.h"
#include "row_products.h"

namespace lorikeet::cpu {

struct LowRankUp {
  size_t input = 0;  // up [n, r]
  size_t adapter = 0;
  int64_t column = 0;  // of y
  int64_t rank = 0;    // column of h
  int64_t n = 0;
  int64_t r = 0;
};

struct LowRank {
  std::vector<size_t> downs;   // inputs [R, ..]
  std::vector<int64_t> ranks;  // R
  std::vector<float> scales;
  std::vector<LowRankUp> ups;
  size_t adapters() const { return downs.size(); }
};

// Reads and checks the adapters of an instruction whose inputs from `first` on are the downs and then the ups. `layer`
// is what every down must be but for its first extent; N the number of y's columns.
LowRank read_low_rank(const KernelRequest& request, size_t first, const Shape& layer, int64_t columns, DType dtype);

// y[:, c:c+n] += scale * h[:, q:q+r] * upᵀ for every up; y is output 0, h of adapter a output 1 + a.
void append_up_products(const LowRank& low_rank, int64_t columns, DType dtype, std::vector<RowProduct>& products);

}  // namespace lorikeet::cpu
