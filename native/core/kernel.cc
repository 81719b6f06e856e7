#include "kernel.h"

namespace lorikeet {

OpRequest::OpRequest(const Program& program, const Instruction& instruction) : instruction(instruction) {
  const auto spec_of = [&](int index) { return index == kNoTensor ? TensorSpec{} : program.tensors[index]; };
  for (const int index : instruction.inputs) inputs.push_back(spec_of(index));
  for (const int index : instruction.outputs) outputs.push_back(spec_of(index));
}

}  // namespace lorikeet
