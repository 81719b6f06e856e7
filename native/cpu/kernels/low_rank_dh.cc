// low_rank_dh: dh[:, q:q+r] = Σ scale dy[:, c:c+n] up over the ups of one adapter; columns of dh that no up covers are
// zero.
#include <cstring>

#include "../../core/ops/low_rank.h"
#include "../row_products.h"

namespace lorikeet::cpu {
namespace {

class LowRankDh : public Kernel {
 public:
  LowRankDh(const KernelRequest& request, int64_t rows, bool clear, std::vector<RowProduct> products)
      : clear_(clear), products_(request, rows, std::move(products)) {}

  void run(const Operands& operands) override {
    const Tensor& dh = operands.outputs[0];
    if (clear_) std::memset(dh.data, 0, static_cast<size_t>(dh.bytes()));
    products_.run(operands);
  }

 private:
  bool clear_;
  RowProducts products_;
};

std::unique_ptr<Kernel> make_low_rank_dh(const KernelRequest& request) {
  const LowRankDhOp op = read_low_rank_dh(request);
  std::vector<int> covered(static_cast<size_t>(op.rank));
  bool clear = false;
  std::vector<RowProduct> products;
  for (const LowRankUp& up : op.ups) {
    RowProduct product;
    product.src = {false, 0, up.column, op.columns, op.dtype};
    product.dst = {true, 0, up.rank, op.rank, op.dtype};
    product.n = up.r;
    product.k = up.n;
    product.scale = op.scale;
    // The first product of some columns writes them; where parts overlap, all must add to zeros or to each other.
    bool fresh = true;
    for (int64_t q = up.rank; q < up.rank + up.r; q++) fresh = fresh && covered[q]++ == 0;
    product.accumulate = !fresh;
    if (!fresh) clear = true;
    if (up.n == 0 || up.r == 0) continue;
    product.set_adapter(up.input, up.r, 1, op.dtype);
    products.push_back(std::move(product));
  }
  for (const int count : covered) clear = clear || count == 0;
  if (clear) {
    for (RowProduct& product : products) product.accumulate = true;
  }
  return std::make_unique<LowRankDh>(request, op.rows, clear, std::move(products));
}

LORIKEET_REGISTER_CPU_KERNEL("low_rank_dh", make_low_rank_dh);

}  // namespace
}  // namespace lorikeet::cpu
