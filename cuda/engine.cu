#include "engine.h"

#include <algorithm>
#include <cstdlib>

#include "../native/core/ports.h"

namespace LORIKEET_CUDA {

static int64_t aligned_up(int64_t bytes) { return (bytes + 255) / 256 * 256; }

// The input of the program that an operand is.
static size_t port_of(const Program& program, const Instruction& instruction, size_t operand) {
  for (size_t port = 0; port < program.inputs.size(); port++) {
    if (program.inputs[port].tensor == instruction.inputs[operand]) return port;
  }
  fail(instruction.op, ": input ", operand, " must be an input of the program: its values are checked before each run");
}

// What the driver and other programs may still want of the card.
constexpr int64_t kMargin = int64_t{256} << 20;

CudaEngine::CudaEngine(int card, const EngineOptions& options)
    : context_(card), tuner_(options.measure && context_.tells_time(), options.choices) {
  require(options.compute_dtype == DType::f32 || options.compute_dtype == DType::bf16,
          "computeDtype must be f32 or bf16");
  const Context::Use use(context_);
  card_ = card_info(card);
  context_.budget.limit = options.memory_budget > 0 ? options.memory_budget : free_memory() - kMargin;
  const char* debug = std::getenv("LORIKEET_CUDA_DEBUG");
  debug_ = debug != nullptr && *debug != '\0' && *debug != '0';
  check(cudaStreamCreateWithFlags(&stream_, cudaStreamNonBlocking), "making a stream");
  check(cudaStreamCreateWithFlags(&copies_, cudaStreamNonBlocking), "making a stream");
  check(cudaEventCreateWithFlags(&before_, 0), "making an event");
  check(cudaEventCreateWithFlags(&after_, 0), "making an event");
}

CudaEngine::~CudaEngine() {
  const Context::Use use(context_);
  settle();  // a run that failed may have left launches behind
  for (auto& [handle, compiled] : programs_) drop_graph(compiled);
  programs_.clear();
  weights_ = DeviceWeights();
  buffers_ = DeviceBuffers();
  arena_ = DeviceBlock();
  scratch_ = DeviceBlock();
  ring_ = DeviceBlock();
  opened_ = DeviceBlock();
  cudaEventDestroy(before_);
  cudaEventDestroy(after_);
  cudaStreamDestroy(copies_);
  cudaStreamDestroy(stream_);
}

std::vector<StorageError> CudaEngine::add_weights(const std::vector<WeightSpec>& specs,
                                                  const std::function<bool(int64_t, int64_t)>& progress) {
  const Context::Use use(context_);
  generation_++;
  return weights_.add(
      specs, [&](int64_t done, int64_t total) { return !cancelled_ && (!progress || progress(done, total)); });
}

void CudaEngine::remove_weights(const std::vector<std::string>& names) {
  const Context::Use use(context_);
  for (const std::string& name : names) weights_.remove(name);
}

std::vector<float> CudaEngine::read_weight(const std::string& name) {
  const Context::Use use(context_);
  return weights_.read(name);
}

void CudaEngine::create_buffer(const std::string& name, int64_t bytes, std::optional<DType> dtype) {
  const Context::Use use(context_);
  buffers_.create(name, bytes, dtype);
}

void CudaEngine::remove_buffer(const std::string& name) {
  const Context::Use use(context_);
  if (buffers_.remove(name)) generation_++;
}

void CudaEngine::load_buffer(const std::string& name, const std::vector<BufferPiece>& pieces) {
  const Context::Use use(context_);
  buffers_.load(name, pieces, [&](int64_t) { return !cancelled_; });
}

std::vector<float> CudaEngine::read_buffer(const std::string& name, int64_t offset, int64_t count) {
  const Context::Use use(context_);
  return buffers_.read(name, offset, count);
}

void CudaEngine::write_buffer(const std::string& name, int64_t offset, const std::vector<float>& values) {
  const Context::Use use(context_);
  buffers_.write(name, offset, values);
}

std::vector<uint8_t> CudaEngine::read_bytes(const std::string& name) {
  const Context::Use use(context_);
  return buffers_.read_bytes(name);
}

void CudaEngine::write_bytes(const std::string& name, const std::vector<uint8_t>& bytes) {
  const Context::Use use(context_);
  buffers_.write_bytes(name, bytes);
}

int CudaEngine::compile(Program program) {
  const Context::Use use(context_);
  validate(program, buffers_.sizes());
  check_weights(program, [this](const std::string& name) -> const WeightSpec& { return weights_.spec(name); });
  Compiled compiled;
  compiled.program = std::move(program);
  prepare(compiled);
  lay_out_ports(compiled);
  if (compiled.program.arena_bytes > arena_.bytes()) replace(arena_, "the arena", compiled.program.arena_bytes);
  for (const TensorSpec& tensor : compiled.program.tensors) {
    if (tensor.space == Space::weight) compiled.held.push_back(tensor.name);
    if (tensor.space == Space::buffer) buffers_.refer(tensor);
  }
  for (const std::string& name : compiled.held) weights_.hold(name);
  const int handle = next_handle_++;
  programs_.emplace(handle, std::move(compiled));
  return handle;
}

void CudaEngine::prepare(Compiled& compiled) {
  const Program& program = compiled.program;
  int64_t scratch_bytes = 0;
  for (size_t i = 0; i < program.instructions.size(); i++) {
    const Instruction& instruction = program.instructions[i];
    try {
      const CudaRequest request(program, instruction, card_.multiprocessors, tuner_, weights_);
      Step step;
      step.launch = kernel_registry().find(instruction.op)(request);
      step.profile_slot = profile_.slot(program, instruction);
      for (const auto& [operand, check] : request.checks()) {
        compiled.checks.push_back({i, port_of(program, instruction, operand), check});
      }
      scratch_bytes = std::max(scratch_bytes, request.scratch_bytes());
      step.stored = request.stored();
      compiled.steps.push_back(std::move(step));
    } catch (const std::exception& error) {
      fail_at(program, i, error.what());
    }
  }
  if (scratch_bytes > scratch_.bytes()) replace(scratch_, "working memory of the kernels", scratch_bytes);
  compiled.residency = Residency(program, weights_, [&](size_t instruction, size_t operand) {
    const std::vector<size_t>& stored = compiled.steps[instruction].stored;
    return std::find(stored.begin(), stored.end(), operand) != stored.end();
  });
  const int64_t ring_bytes = compiled.residency.ring_bytes(), opened_bytes = compiled.residency.opened_bytes();
  if (ring_bytes > ring_.bytes()) replace(ring_, "weights on their way from the host", ring_bytes);
  if (opened_bytes > opened_.bytes()) replace(opened_, "weights opened for use", opened_bytes);
}

// Nothing in these blocks outlives a run, so one is given back before the next is asked for. When that is refused, what
// was there comes back and the programs that are compiled go on running.
void CudaEngine::replace(DeviceBlock& block, const char* what, int64_t bytes) {
  const int64_t before = block.bytes();
  generation_++;
  block = DeviceBlock();
  try {
    block = DeviceBlock(what, bytes);
  } catch (const std::exception&) {
    block = DeviceBlock(what, before);
    throw;
  }
}

void CudaEngine::lay_out_ports(Compiled& compiled) {
  const Program& program = compiled.program;
  int64_t bytes = 0;
  const auto place = [&](const Port& port) {
    const TensorSpec& tensor = program.tensors[port.tensor];
    const int64_t at = bytes;
    bytes += aligned_up(elements_of(tensor.shape) * bytes_of(tensor.dtype));
    return at;
  };
  for (const Port& port : program.inputs) compiled.input_at.push_back(place(port));
  for (const Port& port : program.outputs) compiled.output_at.push_back(place(port));
  compiled.ports = PinnedBlock(bytes);
}

void CudaEngine::release(int handle) {
  const Context::Use use(context_);
  const auto found = programs_.find(handle);
  require(found != programs_.end(), "program handle ", handle, " is not compiled here, or was released");
  drop_graph(found->second);
  for (const std::string& name : found->second.held) weights_.let_go(name);
  programs_.erase(found);
  int64_t largest = 0;
  for (const auto& [other, compiled] : programs_) largest = std::max(largest, compiled.program.arena_bytes);
  if (largest < arena_.bytes()) replace(arena_, "the arena", largest);
}

void* CudaEngine::address_of(const Program& program, int index) {
  const TensorSpec& tensor = program.tensors[index];
  switch (tensor.space) {
    case Space::arena: return arena_.bytes_at(tensor.offset);
    case Space::buffer: return buffers_.address(tensor.name, tensor.offset);
    case Space::weight: return weights_.address(tensor.name);
  }
  return nullptr;
}

void CudaEngine::bind(Compiled& compiled) {
  if (compiled.bound == generation_) return;
  drop_graph(compiled);
  scratch_.open_to_all();
  compiled.residency.bind(weights_, ring_, opened_);
  const Program& program = compiled.program;
  for (size_t i = 0; i < compiled.steps.size(); i++) {
    const Instruction& instruction = program.instructions[i];
    Step& step = compiled.steps[i];
    step.operands = operands_of(program, instruction, [&](int tensor) {
      const bool frozen = program.tensors[tensor].space == Space::weight;
      void* const fetched = frozen ? compiled.residency.address(i, program.tensors[tensor].name) : nullptr;
      return fetched ? fetched : address_of(program, tensor);
    });
    for (const size_t operand : step.stored) {
      Tensor& words = step.operands.inputs[operand];
      words.dtype = DType::i32;
      words.shape = {weights_.spec(program.tensors[instruction.inputs[operand]].name).stored_bytes() / 4};
    }
    step.visible = Visible(context_, OpRequest(program, instruction), step.operands);
    step.repeatable = repeatable(program, instruction, step.operands);
  }
  compiled.bound = generation_;
  compiled.runs = 0;
}

void CudaEngine::check_values(const Compiled& compiled) {
  for (const auto& [instruction, port, check] : compiled.checks) {
    try {
      check(compiled.ports.bytes_at(compiled.input_at[port]));
    } catch (const std::exception& error) {
      fail_at(compiled.program, instruction, error.what());
    }
  }
}

void CudaEngine::copy_inputs(const Compiled& compiled) {
  const Program& program = compiled.program;
  for (size_t i = 0; i < program.inputs.size(); i++) {
    const TensorSpec& tensor = program.tensors[program.inputs[i].tensor];
    check(cudaMemcpyAsync(address_of(program, program.inputs[i].tensor), compiled.ports.bytes_at(compiled.input_at[i]),
                          static_cast<size_t>(elements_of(tensor.shape) * bytes_of(tensor.dtype)),
                          cudaMemcpyHostToDevice, stream_),
          "copying an input to the card");
  }
}

void CudaEngine::copy_outputs(const Compiled& compiled) {
  const Program& program = compiled.program;
  for (size_t i = 0; i < program.outputs.size(); i++) {
    const TensorSpec& tensor = program.tensors[program.outputs[i].tensor];
    check(cudaMemcpyAsync(compiled.ports.bytes_at(compiled.output_at[i]),
                          address_of(program, program.outputs[i].tensor),
                          static_cast<size_t>(elements_of(tensor.shape) * bytes_of(tensor.dtype)),
                          cudaMemcpyDeviceToHost, stream_),
          "copying an output from the card");
  }
}

void CudaEngine::launch_one(Compiled& compiled, size_t index, Tuner* tuner) {
  Step& step = compiled.steps[index];
  try {
    compiled.residency.before(index, stream_);
    {
      const Visible::Scope scope(context_, step.visible);
      step.launch(step.operands, {stream_, scratch_.data(), step.repeatable ? tuner : nullptr});
    }
    compiled.residency.after(index, stream_, copies_);
  } catch (const std::exception& error) {
    fail_at(compiled.program, index, error.what());
  }
}

// One instruction after the other, for programs that run once, for the profile, and to find the one at fault.
void CudaEngine::launch_all(Compiled& compiled) {
  Tuner* const tuner = profiling_ || debug_ ? nullptr : tuner_.for_run();
  copy_inputs(compiled);
  compiled.residency.begin(stream_, copies_);
  for (size_t i = 0; i < compiled.steps.size(); i++) {
    require(!cancelled_, "program '", compiled.program.label, "' was cancelled");
    if (profiling_) check(cudaEventRecord(before_, stream_), "recording an event");
    launch_one(compiled, i, tuner);
    if (profiling_) check(cudaEventRecord(after_, stream_), "recording an event");
    if (!profiling_ && !debug_) continue;
    try {
      synchronise("running it");
    } catch (const std::exception& error) {
      fail_at(compiled.program, i, error.what());
    }
    if (!profiling_) continue;
    float milliseconds = 0;
    check(cudaEventElapsedTime(&milliseconds, before_, after_), "reading the clock");
    profile_.add(compiled.steps[i].profile_slot, milliseconds);
  }
  copy_outputs(compiled);
}

// The whole step becomes one graph: one call of the driver instead of some thousand.
void CudaEngine::capture(Compiled& compiled) {
  check(cudaStreamBeginCapture(stream_, cudaStreamCaptureModeThreadLocal), "beginning to record a step");
  cudaGraph_t graph = nullptr;
  try {
    copy_inputs(compiled);
    compiled.residency.begin(stream_, copies_);
    for (size_t i = 0; i < compiled.steps.size(); i++) launch_one(compiled, i, nullptr);
    copy_outputs(compiled);
  } catch (...) {
    cudaStreamEndCapture(stream_, &graph);
    if (graph) cudaGraphDestroy(graph);
    throw;
  }
  check(cudaStreamEndCapture(stream_, &graph), "recording a step");
  const cudaError_t status = cudaGraphInstantiate(&compiled.graph, graph, 0);
  cudaGraphDestroy(graph);
  if (status != cudaSuccess) compiled.graph = nullptr;
  check(status, "making a graph of a step");
}

// Waits for all that was launched, whatever became of it.
void CudaEngine::settle() {
  cudaStreamSynchronize(copies_);
  cudaStreamSynchronize(stream_);
}

void CudaEngine::drop_graph(Compiled& compiled) {
  if (compiled.graph) cudaGraphExecDestroy(compiled.graph);
  compiled.graph = nullptr;
}

NamedValues CudaEngine::run(int handle, const NamedValues& inputs) {
  const Context::Use use(context_);
  const auto found = programs_.find(handle);
  require(found != programs_.end(), "program handle ", handle, " is not compiled here, or was released");
  Compiled& compiled = found->second;
  const Program& program = compiled.program;
  check_inputs(program, inputs);
  require(!cancelled_, "program '", program.label, "' was cancelled");
  bind(compiled);
  for (size_t i = 0; i < program.inputs.size(); i++) {
    const Port& port = program.inputs[i];
    copy_in(inputs.at(port.name), program.tensors[port.tensor].dtype, compiled.ports.bytes_at(compiled.input_at[i]));
  }
  check_values(compiled);
  if (profiling_ || debug_ || compiled.runs++ == 0) {
    try {
      launch_all(compiled);
    } catch (...) {
      settle();  // what was launched still reads the ports
      throw;
    }
  } else {
    if (!compiled.graph) capture(compiled);
    check(cudaGraphLaunch(compiled.graph, stream_), "starting a step");
  }
  try {
    synchronise("waiting for the card");
  } catch (const std::exception& error) {
    fail("program '", program.label, "': ", error.what(),
         debug_ ? "" : " (set LORIKEET_CUDA_DEBUG=1 to learn at which instruction)");
  }
  NamedValues outputs;
  for (size_t i = 0; i < program.outputs.size(); i++) {
    const Port& port = program.outputs[i];
    outputs[port.name] = copy_out(program.tensors[port.tensor], compiled.ports.bytes_at(compiled.output_at[i]));
  }
  return outputs;
}

MemoryUse CudaEngine::memory() const {
  MemoryUse use;
  use.arena = arena_.bytes();
  for (const auto& [name, bytes] : buffers_.sizes()) use.buffers += bytes;
  use.weights = weights_.bytes();
  use.scratch = scratch_.bytes();
  use.staging = ring_.bytes() + opened_.bytes();
  use.host = weights_.host_bytes();
  return use;
}

void CudaEngine::profile(bool enable) {
  profiling_ = enable;
  if (enable) profile_.clear();
}

std::vector<ProfileEntry> CudaEngine::profile_report() const { return profile_.report(); }

}  // namespace LORIKEET_CUDA
