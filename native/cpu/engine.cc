#include "engine.h"

#include <algorithm>
#include <chrono>
#include <cstring>

#include "../core/ports.h"
#include "isa.h"
#include "parallel.h"

namespace lorikeet::cpu {

CpuEngine::CpuEngine(const EngineOptions& options) : options_(options) {
  require(options.compute_dtype == DType::f32 || options.compute_dtype == DType::bf16,
          "computeDtype must be f32 or bf16");
  require(options.compute_dtype == DType::f32 || has_bf16(), "this processor (", isa_name(),
          ") has no bf16 arithmetic: use computeDtype 'f32'");
}

// The number of threads belongs to the calling thread, so engines in one process do not disturb each other.
void CpuEngine::use_threads() const { set_thread_count(options_.threads); }

std::vector<StorageError> CpuEngine::add_weights(const std::vector<WeightSpec>& specs,
                                                 const std::function<bool(int64_t, int64_t)>& progress) {
  use_threads();
  generation_++;
  return weights_.add(
      specs, [&](int64_t done, int64_t total) { return !cancelled_ && (!progress || progress(done, total)); });
}

void CpuEngine::remove_weights(const std::vector<std::string>& names) {
  for (const std::string& name : names) weights_.remove(name);
}

std::vector<float> CpuEngine::read_weight(const std::string& name) {
  use_threads();
  std::vector<float> values(static_cast<size_t>(elements_of(weights_.spec(name).shape)));
  weights_.read(name, values.data());
  return values;
}

void CpuEngine::create_buffer(const std::string& name, int64_t bytes, std::optional<DType> dtype) {
  const auto found = buffers_.find(name);
  if (found != buffers_.end()) {
    return check_same_buffer(name, found->second.block.bytes(), found->second.dtype, bytes, dtype);
  }
  check_new_buffer(name, bytes, dtype);
  Buffer buffer;
  buffer.block = Block(bytes);
  buffer.dtype = dtype;
  buffers_[name] = std::move(buffer);
}

CpuEngine::Buffer& CpuEngine::buffer_named(const std::string& name) {
  const auto found = buffers_.find(name);
  require(found != buffers_.end(), "buffer '", name, "' does not exist");
  return found->second;
}

void CpuEngine::remove_buffer(const std::string& name) {
  if (buffers_.erase(name) > 0) generation_++;
}

void CpuEngine::load_buffer(const std::string& name, const std::vector<BufferPiece>& pieces) {
  use_threads();
  Buffer& buffer = buffer_named(name);
  const DType dtype = buffer.dtype.value_or(DType::f32);
  SourceFiles files;
  check_pieces(name, buffer.block.bytes(), dtype, pieces, files);
  for (const BufferPiece& piece : pieces) {
    read_source(piece.source, files, dtype, buffer.block.bytes_at(piece.offset), [&](int64_t) { return !cancelled_; });
  }
}

std::vector<float> CpuEngine::read_buffer(const std::string& name, int64_t offset, int64_t count) {
  const Buffer& buffer = buffer_named(name);
  const DType dtype = buffer.dtype.value_or(DType::f32);
  check_range(name, buffer.block.bytes(), offset, count, dtype);
  return widened(buffer.block.bytes_at(offset), dtype, count);
}

void CpuEngine::write_buffer(const std::string& name, int64_t offset, const std::vector<float>& values) {
  Buffer& buffer = buffer_named(name);
  const DType dtype = buffer.dtype.value_or(DType::f32);
  check_range(name, buffer.block.bytes(), offset, static_cast<int64_t>(values.size()), dtype);
  narrow(values, dtype, buffer.block.bytes_at(offset));
}

std::vector<uint8_t> CpuEngine::read_bytes(const std::string& name) {
  const Block& block = buffer_named(name).block;
  const uint8_t* from = reinterpret_cast<const uint8_t*>(block.bytes_at(0));
  return std::vector<uint8_t>(from, from + block.bytes());
}

void CpuEngine::write_bytes(const std::string& name, const std::vector<uint8_t>& bytes) {
  const Block& block = buffer_named(name).block;
  check_whole(name, block.bytes(), bytes.size());
  std::copy(bytes.begin(), bytes.end(), reinterpret_cast<uint8_t*>(block.bytes_at(0)));
}

// What validate() cannot know: the processor, and the weights of this engine.
void CpuEngine::check_tensors(const Program& program) const {
  for (size_t i = 0; i < program.tensors.size(); i++) {
    const TensorSpec& tensor = program.tensors[i];
    require(tensor.dtype != DType::bf16 || has_bf16(), "tensor ", i, " '", tensor.name,
            "' is bf16, which this processor (", isa_name(), ") cannot compute with");
  }
  check_weights(program, [this](const std::string& name) -> const WeightSpec& { return weights_.spec(name); });
}

CpuEngine::Compiled CpuEngine::prepare(Program program) {
  Compiled compiled;
  compiled.plain.resize(program.tensors.size());
  for (size_t i = 0; i < program.instructions.size(); i++) {
    const Instruction& instruction = program.instructions[i];
    try {
      const KernelRequest request(program, instruction, weights_, scratch_);
      Step step;
      step.kernel = kernel_registry().find(instruction.op)(request);
      step.profile_slot = profile_.slot(program, instruction);
      for (size_t k = 0; k < instruction.inputs.size(); k++) {
        const int index = instruction.inputs[k];
        if (index == kNoTensor || program.tensors[index].space != Space::weight || request.uses_own_layout(k)) continue;
        compiled.plain[index] = weights_.plain(program.tensors[index].name);
      }
      compiled.steps.push_back(std::move(step));
    } catch (const std::exception& error) {
      fail_at(program, i, error.what());
    }
  }
  compiled.program = std::move(program);
  return compiled;
}

int CpuEngine::compile(Program program) {
  use_threads();
  std::map<std::string, int64_t> buffer_bytes;
  for (const auto& [name, buffer] : buffers_) buffer_bytes[name] = buffer.block.bytes();
  validate(program, buffer_bytes);
  check_tensors(program);
  Compiled compiled = prepare(std::move(program));
  for (const TensorSpec& tensor : compiled.program.tensors) {
    if (tensor.space != Space::buffer) continue;
    std::optional<DType>& dtype = buffers_.at(tensor.name).dtype;
    if (!dtype && (tensor.dtype == DType::f32 || tensor.dtype == DType::bf16)) dtype = tensor.dtype;
  }
  generation_++;
  if (compiled.program.arena_bytes > arena_.bytes()) {
    arena_.release();  // nothing in it outlives a run
    arena_ = Block(compiled.program.arena_bytes);
  }
  weights_.settle();
  const int handle = next_handle_++;
  programs_.emplace(handle, std::move(compiled));
  return handle;
}

void CpuEngine::release(int handle) {
  require(programs_.erase(handle) == 1, "program handle ", handle, " is not compiled here, or was released");
  int64_t largest = 0;
  for (const auto& [other, compiled] : programs_) largest = std::max(largest, compiled.program.arena_bytes);
  if (largest < arena_.bytes()) {
    generation_++;
    arena_.release();
    arena_ = Block(largest);
  }
}

void* CpuEngine::address_of(const Compiled& compiled, int index) const {
  const TensorSpec& tensor = compiled.program.tensors[index];
  switch (tensor.space) {
    case Space::arena: return arena_.bytes_at(tensor.offset);
    case Space::buffer: return buffers_.at(tensor.name).block.bytes_at(tensor.offset);
    case Space::weight: return compiled.plain[index] ? const_cast<void*>(compiled.plain[index]->data()) : nullptr;
  }
  return nullptr;
}

void CpuEngine::bind(Compiled& compiled) const {
  if (compiled.bound == generation_) return;
  const Program& program = compiled.program;
  for (size_t i = 0; i < compiled.steps.size(); i++) {
    compiled.steps[i].operands = operands_of(program, program.instructions[i],
                                             [&](int tensor) { return address_of(compiled, tensor); });
  }
  compiled.bound = generation_;
}

NamedValues CpuEngine::run(int handle, const NamedValues& inputs) {
  use_threads();
  const auto found = programs_.find(handle);
  require(found != programs_.end(), "program handle ", handle, " is not compiled here, or was released");
  Compiled& compiled = found->second;
  const Program& program = compiled.program;
  check_inputs(program, inputs);
  bind(compiled);
  for (const Port& port : program.inputs) {
    copy_in(inputs.at(port.name), program.tensors[port.tensor].dtype, address_of(compiled, port.tensor));
  }
  for (size_t i = 0; i < compiled.steps.size(); i++) {
    Step& step = compiled.steps[i];
    require(!cancelled_, "program '", program.label, "' was cancelled");
    try {
      if (!profiling_) {
        step.kernel->run(step.operands);
        continue;
      }
      const auto start = std::chrono::steady_clock::now();
      step.kernel->run(step.operands);
      const std::chrono::duration<double, std::milli> spent = std::chrono::steady_clock::now() - start;
      profile_.add(step.profile_slot, spent.count());
    } catch (const std::exception& error) {
      fail_at(program, i, error.what());
    }
  }
  NamedValues outputs;
  for (const Port& port : program.outputs) {
    outputs[port.name] = copy_out(program.tensors[port.tensor], address_of(compiled, port.tensor));
  }
  return outputs;
}

MemoryUse CpuEngine::memory() const {
  MemoryUse use;
  use.arena = arena_.bytes();
  for (const auto& [name, buffer] : buffers_) use.buffers += buffer.block.bytes();
  use.weights = weights_.plain_bytes();
  use.packed = weights_.packed_bytes();
  use.scratch = scratch_.bytes();
  return use;
}

void CpuEngine::profile(bool enable) {
  profiling_ = enable;
  if (enable) profile_.clear();
}

std::vector<ProfileEntry> CpuEngine::profile_report() const { return profile_.report(); }

}  // namespace lorikeet::cpu
