#include "engine.h"

#include <algorithm>
#include <chrono>
#include <cstring>

#include "convert.h"
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

void CpuEngine::add_weights(const std::vector<WeightSpec>& specs,
                            const std::function<bool(int64_t, int64_t)>& progress) {
  use_threads();
  generation_++;
  weights_.add(specs, [&](int64_t done, int64_t total) { return !cancelled_ && (!progress || progress(done, total)); });
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
  require(bytes >= 0, "buffer '", name, "': ", bytes, " bytes");
  require(!dtype || *dtype == DType::f32 || *dtype == DType::bf16, "buffer '", name, "': dtype must be f32 or bf16");
  const auto found = buffers_.find(name);
  if (found != buffers_.end()) {
    require(found->second.block.bytes() == bytes, "buffer '", name, "' exists with ", found->second.block.bytes(),
            " bytes, not ", bytes);
    require(!dtype || !found->second.dtype || *dtype == *found->second.dtype, "buffer '", name,
            "' exists with another dtype");
    return;
  }
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

static void check_range(const std::string& name, const Block& block, int64_t offset, int64_t bytes, int64_t unit) {
  require(offset >= 0 && offset % unit == 0 && bytes >= 0 && offset <= block.bytes() && bytes <= block.bytes() - offset,
          "buffer '", name, "': ", bytes, " bytes at ", offset, " do not lie inside its ", block.bytes(), " bytes");
}

void CpuEngine::remove_buffer(const std::string& name) {
  if (buffers_.erase(name) > 0) generation_++;
}

void CpuEngine::load_buffer(const std::string& name, const std::vector<BufferPiece>& pieces) {
  use_threads();
  Buffer& buffer = buffer_named(name);
  const DType dtype = buffer.dtype.value_or(DType::f32);
  SourceFiles files;
  for (const BufferPiece& piece : pieces) {
    files.check(piece.source);
    const int64_t elements = elements_of(piece.source.shape);
    require(elements_of(piece.shape) == elements, "buffer '", name, "': a source of shape ",
            to_string(piece.source.shape), " cannot fill a piece of shape ", to_string(piece.shape));
    check_range(name, buffer.block, piece.offset, elements * bytes_of(dtype), bytes_of(dtype));
  }
  for (const BufferPiece& piece : pieces) {
    read_source(piece.source, files, dtype, buffer.block.bytes_at(piece.offset), [&](int64_t) { return !cancelled_; });
  }
}

std::vector<float> CpuEngine::read_buffer(const std::string& name, int64_t offset, int64_t count) {
  const Buffer& buffer = buffer_named(name);
  const DType dtype = buffer.dtype.value_or(DType::f32);
  require(count >= 0 && count <= buffer.block.bytes(), "buffer '", name, "': count ", count, " is out of range");
  check_range(name, buffer.block, offset, count * bytes_of(dtype), bytes_of(dtype));
  std::vector<float> values(static_cast<size_t>(count));
  if (dtype == DType::bf16) {
    convert_row(reinterpret_cast<const bf16*>(buffer.block.bytes_at(offset)), values.data(), count);
  } else if (count > 0) {
    std::memcpy(values.data(), buffer.block.bytes_at(offset), static_cast<size_t>(count) * 4);
  }
  return values;
}

void CpuEngine::write_buffer(const std::string& name, int64_t offset, const std::vector<float>& values) {
  Buffer& buffer = buffer_named(name);
  const DType dtype = buffer.dtype.value_or(DType::f32);
  const int64_t count = static_cast<int64_t>(values.size());
  check_range(name, buffer.block, offset, count * bytes_of(dtype), bytes_of(dtype));
  if (dtype == DType::bf16) {
    convert_row(values.data(), reinterpret_cast<bf16*>(buffer.block.bytes_at(offset)), count);
  } else if (count > 0) {
    std::memcpy(buffer.block.bytes_at(offset), values.data(), static_cast<size_t>(count) * 4);
  }
}

// What validate() cannot know: the weights of this engine.
void CpuEngine::check_tensors(const Program& program) const {
  for (size_t i = 0; i < program.tensors.size(); i++) {
    const TensorSpec& tensor = program.tensors[i];
    require(tensor.dtype != DType::bf16 || has_bf16(), "tensor ", i, " '", tensor.name,
            "' is bf16, which this processor (", isa_name(), ") cannot compute with");
    if (tensor.space != Space::weight) continue;
    const WeightSpec& weight = weights_.spec(tensor.name);
    require(weight.dtype == tensor.dtype, "weight '", tensor.name, "' is held as ", name_of(weight.dtype),
            ", the program expects ", name_of(tensor.dtype));
    // A 1x1 convolution's weight may be read as a matrix and so on: the elements are the same.
    require(elements_of(weight.shape) == elements_of(tensor.shape), "weight '", tensor.name, "' has shape ",
            to_string(weight.shape), ", the program expects ", to_string(tensor.shape));
  }
}

void CpuEngine::fail_at(const Program& program, size_t index, const char* message) const {
  const Instruction& instruction = program.instructions[index];
  const bool labelled = !instruction.outputs.empty() && instruction.outputs[0] != kNoTensor;
  fail("program '", program.label, "', instruction ", index, " (", instruction.op, ")",
       labelled ? " '" + program.tensors[instruction.outputs[0]].name + "'" : "", ": ", message);
}

size_t CpuEngine::profile_slot(const Program& program, const Instruction& instruction) {
  const bool labelled = !instruction.outputs.empty() && instruction.outputs[0] != kNoTensor;
  const std::string label = labelled ? program.tensors[instruction.outputs[0]].name : "";
  const auto [found, added] = profile_slots_.emplace(std::make_pair(instruction.op, label), profile_.size());
  if (added) profile_.push_back({instruction.op, label, 0, 0});
  return found->second;
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
      step.profile_slot = profile_slot(program, instruction);
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
  const auto tensors_of = [&](const std::vector<int>& indices) {
    std::vector<Tensor> tensors;
    for (const int index : indices) {
      if (index == kNoTensor) {
        tensors.push_back({});
      } else {
        tensors.push_back({program.tensors[index].dtype, program.tensors[index].shape, address_of(compiled, index)});
      }
    }
    return tensors;
  };
  for (size_t i = 0; i < compiled.steps.size(); i++) {
    compiled.steps[i].operands = {tensors_of(program.instructions[i].inputs),
                                  tensors_of(program.instructions[i].outputs)};
  }
  compiled.bound = generation_;
}

static void check_inputs(const Program& program, const NamedValues& inputs) {
  for (const Port& port : program.inputs) {
    const TensorSpec& tensor = program.tensors[port.tensor];
    const auto found = inputs.find(port.name);
    require(found != inputs.end(), "program '", program.label, "': input '", port.name, "' is missing");
    const bool whole = std::holds_alternative<std::vector<int32_t>>(found->second);
    require(whole == (tensor.dtype == DType::i32), "program '", program.label, "': input '", port.name, "' is ",
            name_of(tensor.dtype), ": expected ", tensor.dtype == DType::i32 ? "an Int32Array" : "a Float32Array");
    const size_t length = std::visit([](const auto& values) { return values.size(); }, found->second);
    require(static_cast<int64_t>(length) == elements_of(tensor.shape), "program '", program.label, "': input '",
            port.name, "' has ", length, " elements, expected shape ", to_string(tensor.shape));
  }
  for (const auto& [name, values] : inputs) {
    const bool known = std::any_of(program.inputs.begin(), program.inputs.end(),
                                   [&name = name](const Port& port) { return port.name == name; });
    require(known, "program '", program.label, "' has no input '", name, "'");
  }
}

static void copy_in(const Values& values, DType dtype, void* to) {
  std::visit(
      [&](const auto& from) {
        using Element = typename std::decay_t<decltype(from)>::value_type;
        if constexpr (std::is_same_v<Element, float>) {
          if (dtype == DType::bf16)
            return convert_row(from.data(), static_cast<bf16*>(to), static_cast<int64_t>(from.size()));
        }
        if (!from.empty()) std::memcpy(to, from.data(), from.size() * sizeof(Element));
      },
      values);
}

static Values copy_out(const TensorSpec& tensor, const void* from) {
  const size_t n = static_cast<size_t>(elements_of(tensor.shape));
  if (tensor.dtype == DType::i32) {
    std::vector<int32_t> values(n);
    if (n > 0) std::memcpy(values.data(), from, n * 4);
    return values;
  }
  std::vector<float> values(n);
  if (tensor.dtype == DType::bf16) {
    convert_row(static_cast<const bf16*>(from), values.data(), static_cast<int64_t>(n));
  } else if (n > 0) {
    std::memcpy(values.data(), from, n * 4);
  }
  return values;
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
      ProfileEntry& entry = profile_[step.profile_slot];
      entry.milliseconds += std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - start).count();
      entry.calls++;
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
  if (!enable) return;
  for (ProfileEntry& entry : profile_) {
    entry.calls = 0;
    entry.milliseconds = 0;
  }
}

std::vector<ProfileEntry> CpuEngine::profile_report() const {
  std::vector<ProfileEntry> report;
  for (const ProfileEntry& entry : profile_) {
    if (entry.calls > 0) report.push_back(entry);
  }
  std::stable_sort(report.begin(), report.end(),
                   [](const ProfileEntry& a, const ProfileEntry& b) { return a.milliseconds > b.milliseconds; });
  return report;
}

}  // namespace lorikeet::cpu
