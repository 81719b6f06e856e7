// low_rank_dh: dh[:, q:q+r] = Σ scale dy[:, c:c+n] up over the ups of one adapter; columns of dh that no up covers are
// zero.
#include <cstring>

#include "../../core/checks.h"
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
  const Instruction& instruction = request.instruction;
  require(request.has_input(0) && request.has_output(0), "low_rank_dh: dy or dh is absent");
  const TensorSpec& dy = request.inputs[0];
  const TensorSpec& dh = request.outputs[0];
  expect_compute_dtype(request, "dy", dy);
  expect_dtype(request, "dh", dh, {dy.dtype});
  const int64_t rank = instruction.integer("rank");
  const int64_t columns = columns_of(dy);
  expect_shape(request, "dh", dh, with_columns(dy.shape, rank), "dy", dy);
  const std::vector<int64_t> column = instruction.integers("up_column");
  const std::vector<int64_t> first_rank = instruction.integers("up_rank");
  const size_t ups = instruction.inputs.size() - 1;
  require(column.size() == ups && first_rank.size() == ups, "low_rank_dh: ", ups, " ups, but up_column has ",
          column.size(), " and up_rank ", first_rank.size(), " entries");
  std::vector<int> covered(static_cast<size_t>(rank < 0 ? 0 : rank));
  bool clear = false;
  std::vector<RowProduct> products;
  for (size_t u = 0; u < ups; u++) {
    require(request.has_input(1 + u), "low_rank_dh: up_", u, " is absent");
    const TensorSpec& up = request.inputs[1 + u];
    expect_dtype(request, "up", up, {dy.dtype});
    require(up.shape.size() == 2 && column[u] >= 0 && column[u] + up.shape[0] <= columns && first_rank[u] >= 0 &&
                first_rank[u] + up.shape[1] <= rank,
            "low_rank_dh: up_", u, " ", to_string(up.shape), " at column ", column[u], ", rank ", first_rank[u],
            " does not fit ", columns, " columns of dy and rank ", rank);
    const int64_t r = up.shape[1];
    RowProduct product;
    product.src = {false, 0, column[u], columns, dy.dtype};
    product.dst = {true, 0, first_rank[u], rank, dy.dtype};
    product.n = r;
    product.k = up.shape[0];
    product.scale = static_cast<float>(instruction.number("scale"));
    // The first product of some columns writes them; where parts overlap, all must add to zeros or to each other.
    bool fresh = true;
    for (int64_t q = first_rank[u]; q < first_rank[u] + r; q++) fresh = fresh && covered[q]++ == 0;
    product.accumulate = !fresh;
    if (!fresh) clear = true;
    if (product.k == 0 || r == 0) continue;
    product.set_adapter(1 + u, r, 1, dy.dtype);
    products.push_back(std::move(product));
  }
  for (const int count : covered) clear = clear || count == 0;
  if (clear) {
    for (RowProduct& product : products) product.accumulate = true;
  }
  return std::make_unique<LowRankDh>(request, rows_of(dy), clear, std::move(products));
}

LORIKEET_REGISTER_CPU_KERNEL("low_rank_dh", make_low_rank_dh);

}  // namespace
}  // namespace lorikeet::cpu
