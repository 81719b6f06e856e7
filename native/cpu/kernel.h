// A kernel of the CPU device: created when a program is compiled and then run many times.
//
// To add an op: write native/cpu/kernels/<op>.cc with a class derived from Kernel, a factory that throws Error for what
// it does not support, and LORIKEET_REGISTER_CPU_KERNEL("<op>", factory) at the bottom. No list is edited.
#pragma once

#include <functional>
#include <memory>
#include <vector>

#include "../core/kernel.h"
#include "../core/memory.h"
#include "../core/weight_store.h"

namespace lorikeet::cpu {

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

struct KernelRequest : OpRequest {
  WeightStore& weights;  // for weights that the kernel wants in a layout of its own
  Scratch& scratch;

  KernelRequest(const Program& program, const Instruction& instruction, WeightStore& weights, Scratch& scratch)
      : OpRequest(program, instruction), weights(weights), scratch(scratch), own_layout_(inputs.size()) {}

  // An input in Space::weight that the kernel reads through a handle of its own (WeightStore::packed) instead of
  // through the operand's pointer, which is null then. All other weights are kept in plain layout for as long as the
  // program lives.
  void use_own_layout(size_t input) const { own_layout_.at(input) = true; }
  bool uses_own_layout(size_t input) const { return own_layout_.at(input); }

 private:
  mutable std::vector<bool> own_layout_;
};

using KernelFactory = std::function<std::unique_ptr<Kernel>(const KernelRequest&)>;

KernelRegistry<KernelFactory>& kernel_registry();

struct KernelRegistration {
  KernelRegistration(const char* op, KernelFactory factory) { kernel_registry().add(op, std::move(factory)); }
};

#define LORIKEET_REGISTER_CPU_KERNEL(op, factory) \
  static const ::lorikeet::cpu::KernelRegistration LORIKEET_CONCAT(registration_, __LINE__) { op, factory }

}  // namespace lorikeet::cpu
