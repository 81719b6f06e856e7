// How an op becomes known to the CUDA devices. A factory reads an instruction once, when its program is compiled, and
// returns what launches its kernels; that is called whenever the step is captured or run, with the operands' addresses.
//
// To add an op: write cuda/kernels/<op>.cu with the kernel, a factory and
// LORIKEET_REGISTER_CUDA_KERNEL("<op>", factory) at the bottom. No list is edited.
#pragma once

#include <algorithm>
#include <functional>
#include <memory>
#include <utility>
#include <vector>

#include "../native/core/checks.h"
#include "../native/core/kernel.h"
#include "bf16.h"
#include "device_memory.h"
#include "runtime.h"
#include "tuning.h"
#include "weights.h"

namespace LORIKEET_CUDA {

struct LaunchContext {
  Stream stream = {};
  void* scratch = nullptr;  // what the factory reserved, at a multiple of 256 bytes; nothing in it survives the launch
  Tuner* tuner = nullptr;   // while choices are measured

  // start(i) launches kernel i of the choice, and nothing that another launch of the same would change.
  void launch_chosen(Choice& choice, const std::function<void(int)>& start) const {
    if (tuner != nullptr && !choice.settled) tuner->measure(choice, start, stream);
    start(choice.chosen);
  }
};

// Puts the kernels of one instruction into the stream. Must not wait for the card itself.
using Launch = std::function<void(const Operands& operands, const LaunchContext& context)>;

struct CudaRequest : OpRequest {
  CudaRequest(const Program& program, const Instruction& instruction, int multiprocessors, Tuner& tuner,
              const DeviceWeights& weights)
      : OpRequest(program, instruction), multiprocessors(multiprocessors), tuner(tuner), weights_(weights) {}

  int multiprocessors;  // for what may change the time and nothing else
  Tuner& tuner;

  void reserve_scratch(int64_t bytes) const { scratch_bytes_ = std::max(scratch_bytes_, bytes); }
  int64_t scratch_bytes() const { return scratch_bytes_; }

  // A frozen weight in fewer bits comes opened, as the plain values that its spec says, unless the factory takes it as
  // it is stored: then its data is what quantise wrote. storage(): how an input is stored, if it could be taken so. An
  // instruction with one weight in two places gets it opened.
  Storage storage(size_t operand) const {
    const std::string& name = inputs[operand].name;
    const auto same = [&](const TensorSpec& input) { return input.space == Space::weight && input.name == name; };
    const bool once = std::count_if(inputs.begin(), inputs.end(), same) == 1;
    return once && same(inputs[operand]) ? weights_.spec(name).storage : Storage::plain;
  }
  void take_stored(size_t operand) const { stored_.push_back(operand); }
  const std::vector<size_t>& stored() const { return stored_; }

  // An operand that comes from outside and cannot be trusted: before each run `check` looks at its values and throws
  // Error. Only for inputs of the program, which the host holds before the card does.
  using InputCheck = std::function<void(const void* values)>;
  void check_input(size_t operand, InputCheck check) const { checks_.emplace_back(operand, std::move(check)); }
  const std::vector<std::pair<size_t, InputCheck>>& checks() const { return checks_; }

  // A table in the card's memory, which lives as long as what holds the pointer.
  template <typename T>
  std::shared_ptr<const DeviceBlock> constants(const std::vector<T>& values) const {
    const auto block = std::make_shared<DeviceBlock>("constants", static_cast<int64_t>(values.size() * sizeof(T)));
    block->write(values.data());
    block->open_to_all();
    return block;
  }

 private:
  mutable int64_t scratch_bytes_ = 0;
  mutable std::vector<std::pair<size_t, InputCheck>> checks_;
  mutable std::vector<size_t> stored_;
  const DeviceWeights& weights_;
};

using LaunchFactory = std::function<Launch(const CudaRequest&)>;

KernelRegistry<LaunchFactory>& kernel_registry();

struct KernelRegistration {
  KernelRegistration(const char* op, LaunchFactory factory) { kernel_registry().add(op, std::move(factory)); }
};

#define LORIKEET_REGISTER_CUDA_KERNEL(op, factory)                                                        \
  static const ::LORIKEET_CUDA::KernelRegistration LORIKEET_CONCAT(registration_, __LINE__) { op, factory }

// The elements of an operand; null when it is absent.
template <typename T>
T* data(const Tensor& tensor) {
  return static_cast<T*>(tensor.data);
}

// make(float{}) or make(bf16{}): the compute dtype as a type, `using T = decltype(zero)`.
template <typename Make>
auto by_dtype(DType dtype, const Make& make) {
  return dtype == DType::bf16 ? make(bf16{}) : make(float{});
}

}  // namespace LORIKEET_CUDA
