#include "linear_layer.h"

#include "low_rank.h"

namespace lorikeet::cpu {

namespace {

// From this number of rows on, the input's gradient rearranges the forward pass's copy of a weight in every run instead
// of keeping one of its own: 8 % of the product at 256 rows (1280x1280, bf16, one core of a Zen 5).
constexpr int64_t kRearrangedRows = 128;

class RowKernel : public Kernel {
 public:
  RowKernel(const KernelRequest& request, int64_t rows, std::vector<RowProduct> products)
      : products_(request, rows, std::move(products)) {}
  void run(const Operands& operands) override { products_.run(operands); }

 private:
  RowProducts products_;
};

}  // namespace

std::unique_ptr<Kernel> make_linear_forward(const KernelRequest& request, const LinearOp& op) {
  const auto& [rows, n, k, dtype, low_rank] = op;
  std::vector<RowProduct> products;
  for (size_t a = 0; a < low_rank.adapters(); a++) {
    RowProduct down;
    down.src = {false, 0, 0, k, dtype};
    down.dst = {true, 1 + a, 0, low_rank.ranks[a], dtype};
    down.n = low_rank.ranks[a];
    down.k = k;
    down.set_adapter(low_rank.downs[a], 1, k, dtype);
    products.push_back(std::move(down));
  }
  RowProduct base;
  base.src = {false, 0, 0, k, dtype};
  base.dst = {true, 0, 0, n, dtype};
  base.n = n;
  base.k = k;
  if (request.has_input(2)) base.bias = 2;
  const Desc plain = strided_desc({k, n}, dtype, {1, k});
  base.weights = request.inputs[1].space == Space::weight
                     ? WeightFeed::of_store(request, 1, "forward", plain, packed_weights(k, n, dtype))
                     : WeightFeed::of_operand(1, plain);
  products.push_back(std::move(base));
  append_up_products(low_rank, n, dtype, products);
  return std::make_unique<RowKernel>(request, rows, std::move(products));
}

std::unique_ptr<Kernel> make_linear_input_grad(const KernelRequest& request, const LinearInputGradOp& op) {
  const auto& [rows, n, k, dtype, ranks] = op;
  std::vector<RowProduct> products;
  RowProduct base;
  base.src = {false, 0, 0, n, dtype};
  base.dst = {true, 0, 0, k, dtype};
  base.n = k;
  base.k = n;
  const Desc plain = strided_desc({n, k}, dtype, {k, 1});
  const Desc wanted = packed_weights(n, k, dtype);
  if (request.inputs[1].space != Space::weight) {
    base.weights = WeightFeed::of_operand(1, plain);
  } else if (rows >= kRearrangedRows) {
    base.weights = WeightFeed::of_store_exchanged(request, 1, "forward", strided_desc({k, n}, dtype, {1, k}),
                                                  packed_weights(k, n, dtype), wanted, false);
  } else {
    base.weights = WeightFeed::of_store(request, 1, "input gradient", plain, wanted);
  }
  products.push_back(std::move(base));
  for (size_t a = 0; a < ranks.size(); a++) {
    const int64_t rank = ranks[a];
    if (rank == 0) continue;
    RowProduct product;
    product.src = {false, op.dh(a), 0, rank, dtype};
    product.dst = {true, 0, 0, k, dtype};
    product.n = k;
    product.k = rank;
    product.set_adapter(op.down(a), k, 1, dtype);
    product.accumulate = true;
    products.push_back(std::move(product));
  }
  return std::make_unique<RowKernel>(request, rows, std::move(products));
}

}  // namespace lorikeet::cpu
