#include "low_rank.h"

#include "../checks.h"

namespace lorikeet {

LowRank read_low_rank(const OpRequest& request, size_t first, const Shape& layer, DType dtype) {
  const Instruction& instruction = request.instruction;
  const std::string& op = instruction.op;
  const TensorSpec& y = request.outputs[0];
  const int64_t columns = columns_of(y);
  LowRank low_rank;
  const int64_t count = instruction.has("adapters") ? instruction.integer("adapters") : 0;
  require(count >= 0 && count < 1 << 20, op, ": adapters is ", count);
  const size_t adapters = static_cast<size_t>(count);
  if (adapters == 0) {
    require(instruction.inputs.size() <= first, op, ": operands after input ", first - 1, " but no adapters");
  } else {
    const std::vector<int64_t> owner = instruction.integers("up_adapter");
    const std::vector<int64_t> column = instruction.integers("up_column");
    const std::vector<int64_t> rank = instruction.integers("up_rank");
    const std::vector<double>& scale = instruction.numbers("scale");
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
  }
  require(request.outputs.size() == 1 + adapters, op, ": ", adapters, " adapters need ", 1 + adapters,
          " outputs, got ", request.outputs.size());
  for (size_t a = 0; a < adapters; a++) {
    const std::string name = "h_" + std::to_string(a);
    require(request.has_output(1 + a), op, ": ", name, " is absent");
    expect_dtype(request, name.c_str(), request.outputs[1 + a], {dtype});
    expect_shape(request, name.c_str(), request.outputs[1 + a], with_columns(y.shape, low_rank.ranks[a]), "y", y);
  }
  return low_rank;
}

LowRankDhOp read_low_rank_dh(const OpRequest& request) {
  const Instruction& instruction = request.instruction;
  require(request.has_input(0) && request.has_output(0), "low_rank_dh: dy or dh is absent");
  const TensorSpec& dy = request.inputs[0];
  const TensorSpec& dh = request.outputs[0];
  expect_compute_dtype(request, "dy", dy);
  expect_dtype(request, "dh", dh, {dy.dtype});
  LowRankDhOp result;
  result.rows = rows_of(dy);
  result.columns = columns_of(dy);
  result.rank = instruction.integer("rank");
  result.dtype = dy.dtype;
  result.scale = static_cast<float>(instruction.number("scale"));
  expect_shape(request, "dh", dh, with_columns(dy.shape, result.rank), "dy", dy);
  const std::vector<int64_t> column = instruction.integers("up_column");
  const std::vector<int64_t> rank = instruction.integers("up_rank");
  const size_t ups = instruction.inputs.size() - 1;
  require(column.size() == ups && rank.size() == ups, "low_rank_dh: ", ups, " ups, but up_column has ", column.size(),
          " and up_rank ", rank.size(), " entries");
  for (size_t u = 0; u < ups; u++) {
    require(request.has_input(1 + u), "low_rank_dh: up_", u, " is absent");
    const TensorSpec& up = request.inputs[1 + u];
    expect_dtype(request, "up", up, {dy.dtype});
    require(up.shape.size() == 2 && column[u] >= 0 && column[u] + up.shape[0] <= result.columns && rank[u] >= 0 &&
                rank[u] + up.shape[1] <= result.rank,
            "low_rank_dh: up_", u, " ", to_string(up.shape), " at column ", column[u], ", rank ", rank[u],
            " does not fit ", result.columns, " columns of dy and rank ", result.rank);
    result.ups.push_back({1 + u, 0, column[u], rank[u], up.shape[0], up.shape[1]});
  }
  return result;
}

}  // namespace lorikeet
