#include "low_rank.h"

namespace lorikeet::cpu {

void append_up_products(const LowRank& low_rank, int64_t columns, DType dtype, std::vector<RowProduct>& products) {
  for (const LowRankUp& up : low_rank.ups) {
    if (up.r == 0) continue;
    RowProduct product;
    product.src = {true, 1 + up.adapter, up.rank, low_rank.ranks[up.adapter], dtype};
    product.dst = {true, 0, up.column, columns, dtype};
    product.n = up.n;
    product.k = up.r;
    product.set_adapter(up.input, 1, up.r, dtype);
    product.scale = low_rank.scales[up.adapter];
    product.accumulate = true;
    products.push_back(std::move(product));
  }
}

}  // namespace lorikeet::cpu
