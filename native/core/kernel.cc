#include "kernel.h"

namespace lorikeet {

OpRequest::OpRequest(const Program& program, const Instruction& instruction) : instruction(instruction) {
  const auto spec_of = [&](int index) { return index == kNoTensor ? TensorSpec{} : program.tensors[index]; };
  for (const int index : instruction.inputs) inputs.push_back(spec_of(index));
  for (const int index : instruction.outputs) outputs.push_back(spec_of(index));
}

Operands operands_of(const Program& program, const Instruction& instruction,
                     const std::function<void*(int tensor)>& address_of) {
  const auto tensors_of = [&](const std::vector<int>& indices) {
    std::vector<Tensor> tensors;
    for (const int index : indices) {
      if (index == kNoTensor) {
        tensors.push_back({});
      } else {
        tensors.push_back({program.tensors[index].dtype, program.tensors[index].shape, address_of(index)});
      }
    }
    return tensors;
  };
  return {tensors_of(instruction.inputs), tensors_of(instruction.outputs)};
}

}  // namespace lorikeet
