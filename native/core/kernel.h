// What all devices' kernels have in common: the tensors of an instruction as they are known when a program is compiled
// (OpRequest) and while it runs (Operands), and the registry that finds the factory of an op. A factory is called once
// per instruction when a program is compiled: attributes read, shapes and dtypes checked, so "supported" and "chosen"
// are the same function. It throws Error for what it does not support.
#pragma once

#include <functional>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "program.h"

namespace lorikeet {

// The tensors of one instruction with their pointers, valid for one run. Absent operands have data == nullptr.
struct Operands {
  std::vector<Tensor> inputs;
  std::vector<Tensor> outputs;
};

// The tensors of an instruction at their addresses; absent operands stay without.
Operands operands_of(const Program& program, const Instruction& instruction,
                     const std::function<void*(int tensor)>& address_of);

// What a factory may look at. Tensors are given as specs (shape, dtype, space), never as pointers.
struct OpRequest {
  const Instruction& instruction;
  std::vector<TensorSpec> inputs;  // absent operands: shape empty and name empty; ask has_input
  std::vector<TensorSpec> outputs;

  OpRequest(const Program& program, const Instruction& instruction);

  bool has_input(size_t i) const { return i < instruction.inputs.size() && instruction.inputs[i] != kNoTensor; }
  bool has_output(size_t i) const { return i < instruction.outputs.size() && instruction.outputs[i] != kNoTensor; }
};

// Filled by static initialisers while the addon is loaded and only read afterwards, so environments may share it.
template <typename Factory>
class KernelRegistry {
 public:
  explicit KernelRegistry(std::string device) : device_(std::move(device)) {}

  void add(const std::string& op, Factory factory) {  // throws Error on a duplicate
    require(factories_.emplace(op, std::move(factory)).second, "op '", op, "' is registered twice on ", device_);
  }
  const Factory& find(const std::string& op) const {  // throws Error naming op and device
    const auto found = factories_.find(op);
    require(found != factories_.end(), "device ", device_, " has no op '", op, "'");
    return found->second;
  }
  std::vector<std::string> ops() const {  // sorted
    std::vector<std::string> names;
    for (const auto& [name, factory] : factories_) names.push_back(name);
    return names;
  }

 private:
  std::string device_;
  std::map<std::string, Factory> factories_;
};

#define LORIKEET_CONCAT_(a, b) a##b
#define LORIKEET_CONCAT(a, b) LORIKEET_CONCAT_(a, b)

}  // namespace lorikeet
