#include "adamw.h"

#include <algorithm>

#include "../checks.h"

namespace lorikeet {

AdamwOptions read_adamw_options(const OpRequest& request) {
  const Instruction& instruction = request.instruction;
  return {instruction.number("beta1"), instruction.number("beta2"), instruction.number("eps"),
          instruction.number("max_norm")};
}

std::vector<AdamwRange> read_adamw_ranges(const OpRequest& request, const TensorSpec& params,
                                          const TensorSpec& scalars) {
  const Instruction& instruction = request.instruction;
  const std::string& op = instruction.op;
  require(scalars.shape.size() == 1 && scalars.shape[0] >= 2, op, ": scalars is ", to_string(scalars.shape),
          "; it must be [2 + groups]");
  const int64_t size = elements_of(params.shape), groups = scalars.shape[0] - 2;
  const std::vector<int64_t> start = instruction.integers("start"), count = instruction.integers("count");
  const std::vector<int64_t> group = instruction.integers("group");
  const std::vector<double>& weight_decay = instruction.numbers("weight_decay");
  require(count.size() == start.size() && group.size() == start.size() && weight_decay.size() == start.size(), op,
          ": start, count, group and weight_decay have ", start.size(), ", ", count.size(), ", ", group.size(), " and ",
          weight_decay.size(), " entries; they must be as many");
  std::vector<AdamwRange> ranges;
  for (size_t i = 0; i < start.size(); i++) {
    require(start[i] >= 0 && count[i] >= 0 && start[i] <= size && count[i] <= size - start[i], op, ": range ", i,
            " is ", start[i], " .. ", start[i] + count[i], ", params has ", size, " elements");
    require(group[i] >= 0 && group[i] < groups, op, ": range ", i, " is of group ", group[i], ", scalars holds ",
            groups, " learning rates");
    ranges.push_back({start[i], count[i], group[i], weight_decay[i]});
  }
  return ranges;
}

void expect_adamw_operands(const OpRequest& request, size_t norm, size_t scalars, size_t shadow) {
  const TensorSpec& params = request.inputs[0];
  expect_dtype(request, "params", params, {DType::f32});
  expect_dtype(request, "grads", request.inputs[1], {DType::f32});
  expect_shape(request, "grads", request.inputs[1], params.shape, "params", params);
  expect_in_place(request, "params", 0, 0);
  expect_dtype(request, "norm", request.inputs[norm], {DType::f32});
  require(elements_of(request.inputs[norm].shape) == 1, request.instruction.op, ": norm is ",
          to_string(request.inputs[norm].shape), "; it must be [1]");
  expect_dtype(request, "scalars", request.inputs[scalars], {DType::f32});
  if (!request.has_output(shadow)) return;
  expect_dtype(request, "shadow", request.outputs[shadow], {DType::bf16});
  expect_shape(request, "shadow", request.outputs[shadow], params.shape, "params", params);
}

static std::vector<AdamwStep::Piece> cut(const OpRequest& request, const std::vector<AdamwRange>& ranges, int64_t size,
                                         int64_t longest) {
  const std::vector<int64_t> state = request.instruction.integers("state");
  require(state.size() == ranges.size(), "adamw: state has ", state.size(), " entries for ", ranges.size(), " ranges");
  std::vector<AdamwStep::Piece> pieces;
  for (size_t i = 0; i < ranges.size(); i++) {
    const AdamwRange& range = ranges[i];
    require(state[i] >= 0 && state[i] <= size && range.count <= size - state[i], "adamw: the state of range ", i,
            " is ", state[i], " .. ", state[i] + range.count, ", m has ", size, " elements");
    for (int64_t done = 0; done < range.count; done += longest) {
      const int64_t count = std::min(longest, range.count - done);
      pieces.push_back({range.start + done, state[i] + done, count, range.group, range.weight_decay});
    }
  }
  return pieces;
}

AdamwStep read_adamw(const OpRequest& request, int64_t longest_piece) {
  expect_operands(request, {"params", "grads", "m", "v", "norm", "scalars"}, {"params", "m", "v", "shadow?"});
  expect_adamw_operands(request, 4, 5, 3);
  const TensorSpec& m = request.inputs[2];
  expect_dtype(request, "m", m, {DType::f32});
  expect_dtype(request, "v", request.inputs[3], {DType::f32});
  expect_shape(request, "v", request.inputs[3], m.shape, "m", m);
  expect_in_place(request, "m", 2, 1);
  expect_in_place(request, "v", 3, 2);
  const std::vector<AdamwRange> ranges = read_adamw_ranges(request, request.inputs[0], request.inputs[5]);
  return {cut(request, ranges, elements_of(m.shape), longest_piece), read_adamw_options(request)};
}

}  // namespace lorikeet
