// The kernel registry. A kernel is created once per instruction when a program is compiled (attributes read, shapes and
// dtypes checked, primitives created: "supported" and "chosen" are the same function) and then run many times.
//
// To add an op on the CPU: write native/cpu/kernels/<op>.cc with a class derived from Kernel, a factory that throws
// Error for what it does not support, and LORIKEET_REGISTER_CPU_KERNEL("<op>", factory) at the bottom. No list is
// edited.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "memory.h"
#include "program.h"
#include "weight_store.h"

namespace lorikeet {

// The tensors of one instruction with their pointers, valid for one run. Absent operands have data == nullptr.
struct Operands {
  std::vector<Tensor> inputs;
  std::vector<Tensor> outputs;
};

class Kernel {
 public:
  virtual ~Kernel() = default;
  virtual void run(const Operands& operands) = 0;
};

// Working memory that all kernels of an engine share, since they run one after the other. Nothing in it survives a
// run().
class Scratch {
 public:
  void reserve(int64_t bytes) {  // by factories
    if (bytes > block_.bytes()) {
      block_.release();
      block_ = Block(bytes);
    }
  }
  void* data() const { return block_.data(); }  // by run(): the block may have grown since the factory ran
  int64_t bytes() const { return block_.bytes(); }

 private:
  Block block_;
};

// What a factory may look at. Tensors are given as specs (shape, dtype, space), never as pointers: those come with
// run().
struct KernelRequest {
  const Instruction& instruction;
  std::vector<TensorSpec> inputs;  // absent operands: shape empty and name empty; ask has_input
  std::vector<TensorSpec> outputs;
  WeightStore& weights;  // for weights that the kernel wants in a layout of its own
  Scratch& scratch;

  // Inputs in Space::weight that the kernel reads through a handle of its own (WeightStore::packed) instead of through
  // the operand's pointer, which is null then. All other weights are kept in plain layout for as long as the program
  // lives.
  mutable std::vector<bool> own_layout;
  void use_own_layout(size_t input) const { own_layout.at(input) = true; }

  bool has_input(size_t i) const { return i < instruction.inputs.size() && instruction.inputs[i] != kNoTensor; }
  bool has_output(size_t i) const { return i < instruction.outputs.size() && instruction.outputs[i] != kNoTensor; }
};

using KernelFactory = std::function<std::unique_ptr<Kernel>(const KernelRequest&)>;

class KernelRegistry {
 public:
  static KernelRegistry& of(const std::string& device);                // "cpu"
  void add(const std::string& op, KernelFactory factory);              // throws Error on a duplicate
  std::unique_ptr<Kernel> create(const KernelRequest& request) const;  // throws Error naming op and device
  std::vector<std::string> ops() const;                                // sorted

 private:
  std::string device_;
  std::map<std::string, KernelFactory> factories_;
};

struct KernelRegistration {
  KernelRegistration(const char* device, const char* op, KernelFactory factory) {
    KernelRegistry::of(device).add(op, std::move(factory));
  }
};

#define LORIKEET_CONCAT_(a, b) a##b
#define LORIKEET_CONCAT(a, b) LORIKEET_CONCAT_(a, b)
#define LORIKEET_REGISTER_CPU_KERNEL(op, factory) \
  static const ::lorikeet::KernelRegistration LORIKEET_CONCAT(registration_, __LINE__) { "cpu", op, factory }

}  // namespace lorikeet
