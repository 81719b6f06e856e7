#include "low_rank.h"

#include "../core/checks.h"

namespace lorikeet::cpu {

LowRank read_low_rank(const KernelRequest& request, size_t first, const Shape& layer, int64_t columns, DType dtype) {
  const Instruction& instruction = request.instruction;
  const std::string& op = instruction.op;
  LowRank low_rank;
  const int64_t count = instruction.has("adapters") ? instruction.integer("adapters") : 0;
  require(count >= 0 && count < 1 << 20, op, ": adapters is ", count);
  if (count == 0) {
    require(instruction.inputs.size() <= first, op, ": operands after input ", first - 1, " but no adapters");
    return low_rank;
  }
  const std::vector<int64_t> owner = instruction.integers("up_adapter");
  const std::vector<int64_t> column = instruction.integers("up_column");
  const std::vector<int64_t> rank = instruction.integers("up_rank");
  const std::vector<double>& scale = instruction.numbers("scale");
  const size_t adapters = static_cast<size_t>(count);
  require(scale.size() == adapters, op, ": ", adapters, " adapters but ", scale.size(), " scales");
  require(column.size() == owner.size() && rank.size() == owner.size(), op,
          ": up_adapter, up_column and up_rank differ in length");
  require(instruction.inputs.size() == first + adapters + owner.size(), op, ": ", adapters, " adapters with ",
          owner.size(), " ups need ", first + adapters + owner.size(), " inputs, got ", instruction.inputs.size());
  for (size_t a = 0; a < adapters; a++) {
    const std::string name = "down_" + std::to_string(a);
    require(request.has_input(first + a), op, ": ", name, " is absent");
    const TensorSpec& down = request.inputs[first + a];
    expect_dtype(request, name.c_str(), down, {dtype});
    Shape expected = layer;
    expected.insert(expected.begin(), down.shape.empty() ? 0 : down.shape[0]);
    require(down.shape == expected, op, ": ", name, " has shape ", to_string(down.shape), ", expected ",
            to_string(expected));
    low_rank.downs.push_back(first + a);
    low_rank.ranks.push_back(down.shape[0]);
    low_rank.scales.push_back(static_cast<float>(scale[a]));
  }
  for (size_t u = 0; u < owner.size(); u++) {
    const std::string name = "up_" + std::to_string(u);
    const size_t input = first + adapters + u;
    require(request.has_input(input), op, ": ", name, " is absent");
    const TensorSpec& up = request.inputs[input];
    expect_dtype(request, name.c_str(), up, {dtype});
    require(owner[u] >= 0 && owner[u] < count, op, ": ", name, " belongs to adapter ", owner[u], " of ", count);
    require(up.shape.size() == 2, op, ": ", name, " has shape ", to_string(up.shape), ", expected two extents");
    const size_t adapter = static_cast<size_t>(owner[u]);
    require(column[u] >= 0 && column[u] + up.shape[0] <= columns && rank[u] >= 0 &&
                rank[u] + up.shape[1] <= low_rank.ranks[adapter],
            op, ": ", name, " ", to_string(up.shape), " at column ", column[u], ", rank ", rank[u], " does not fit ",
            columns, " columns and rank ", low_rank.ranks[adapter]);
    low_rank.ups.push_back({input, adapter, column[u], rank[u], up.shape[0], up.shape[1]});
  }
  return low_rank;
}

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
