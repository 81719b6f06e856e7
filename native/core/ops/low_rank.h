// The adapter operands and attributes that `linear` and `conv2d` share: y += scale * (x * down) * up, with several
// adapters on a layer and several ups (of other output columns, fed by other columns of h) on one adapter; and what
// their gradients read.
#pragma once

#include "../kernel.h"

namespace lorikeet {

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

// Reads and checks the adapters of an instruction whose inputs from `first` on are the downs and then the ups, and
// whose outputs are y and the h of each adapter, as y with R columns. `layer` is what every down must be but for its
// first extent.
LowRank read_low_rank(const OpRequest& request, size_t first, const Shape& layer, DType dtype);

// The operands of low_rank_dh: dh [rows, rank] = scale * dy [rows, columns] up, the ups of one adapter.
struct LowRankDhOp {
  int64_t rows = 0, columns = 0, rank = 0;
  DType dtype = DType::f32;
  float scale = 1;
  std::vector<LowRankUp> ups;
};
LowRankDhOp read_low_rank_dh(const OpRequest& request);

}  // namespace lorikeet
