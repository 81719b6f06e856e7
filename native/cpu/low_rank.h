// The ups of a layer's adapters as products of rows.
#pragma once

#include "../core/ops/low_rank.h"
#include "row_products.h"

namespace lorikeet::cpu {

// y[:, c:c+n] += scale * h[:, q:q+r] * upᵀ for every up; y is output 0, h of adapter a output 1 + a.
void append_up_products(const LowRank& low_rank, int64_t columns, DType dtype, std::vector<RowProduct>& products);

}  // namespace lorikeet::cpu
