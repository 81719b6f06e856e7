#include "adamw.h"

#include <algorithm>

#include "../checks.h"

namespace lorikeet {

static std::vector<AdamwStep::Piece> read_pieces(const OpRequest& request, int64_t size, int64_t groups,
                                                int64_t longest) {
  const Instruction& instruction = request.instruction;
  const std::vector<int64_t> start = instruction.integers("start"), count = instruction.integers("count");
  const std::vector<int64_t> group = instruction.integers("group");
  const std::vector<double>& weight_decay = instruction.numbers("weight_decay");
  require(count.size() == start.size() && group.size() == start.size() && weight_decay.size() == start.size(),
          "adamw: start, count, group and weight_decay have ", start.size(), ", ", count.size(), ", ", group.size(),
          " and ", weight_decay.size(), " entries; they must be as many");
  std::vector<AdamwStep::Piece> pieces;
  for (size_t i = 0; i < start.size(); i++) {
    require(start[i] >= 0 && count[i] >= 0 && start[i] <= size && count[i] <= size - start[i], "adamw: range ", i,
            " is ", start[i], " .. ", start[i] + count[i], ", params has ", size, " elements");
    require(group[i] >= 0 && group[i] < groups, "adamw: range ", i, " is of group ", group[i], ", scalars holds ",
            groups, " learning rates");
    for (int64_t done = 0; done < count[i]; done += longest) {
      pieces.push_back({start[i] + done, std::min(longest, count[i] - done), group[i], weight_decay[i]});
    }
  }
  return pieces;
}

AdamwStep read_adamw(const OpRequest& request, int64_t longest_piece) {
  expect_operands(request, {"params", "grads", "m", "v", "norm", "scalars"}, {"params", "m", "v", "shadow?"});
  const TensorSpec& params = request.inputs[0];
  const char* names[] = {"params", "grads", "m", "v", "norm", "scalars"};
  for (size_t i = 0; i < 6; i++) expect_dtype(request, names[i], request.inputs[i], {DType::f32});
  for (size_t i = 1; i < 4; i++) expect_shape(request, names[i], request.inputs[i], params.shape, "params", params);
  expect_in_place(request, "params", 0, 0);
  expect_in_place(request, "m", 2, 1);
  expect_in_place(request, "v", 3, 2);
  if (request.has_output(3)) {
    expect_dtype(request, "shadow", request.outputs[3], {DType::bf16});
    expect_shape(request, "shadow", request.outputs[3], params.shape, "params", params);
  }
  const TensorSpec& scalars = request.inputs[5];
  require(elements_of(request.inputs[4].shape) == 1, "adamw: norm is ", to_string(request.inputs[4].shape),
          "; it must be [1]");
  require(scalars.shape.size() == 1 && scalars.shape[0] >= 2, "adamw: scalars is ", to_string(scalars.shape),
          "; it must be [2 + groups]");

  const Instruction& instruction = request.instruction;
  return {read_pieces(request, elements_of(params.shape), scalars.shape[0] - 2, longest_piece),
          instruction.number("beta1"), instruction.number("beta2"), instruction.number("eps"),
          instruction.number("max_norm")};
}

}  // namespace lorikeet
