// The engine of the CUDA devices. Weights, buffers and the arena lie in the card's memory; a program's instructions are
// launched one after the other in one stream and from its second run on as one CUDA graph, which copies inputs from
// pinned memory and outputs back; weights that stay with the host arrive in a second stream. Nothing is allocated while
// a program runs.
#pragma once

#include "../native/core/device.h"
#include "../native/core/profile.h"
#include "buffers.h"
#include "context.h"
#include "op.h"
#include "residency.h"
#include "weights.h"

namespace LORIKEET_CUDA {

class CudaEngine : public Engine {
 public:
  CudaEngine(int card, const EngineOptions& options);
  ~CudaEngine() override;

  std::vector<StorageError> add_weights(const std::vector<WeightSpec>& specs,
                                        const std::function<bool(int64_t, int64_t)>& progress) override;
  void remove_weights(const std::vector<std::string>& names) override;
  std::vector<float> read_weight(const std::string& name) override;
  void create_buffer(const std::string& name, int64_t bytes, std::optional<DType> dtype) override;
  void remove_buffer(const std::string& name) override;
  void load_buffer(const std::string& name, const std::vector<BufferPiece>& pieces) override;
  std::vector<float> read_buffer(const std::string& name, int64_t offset, int64_t count) override;
  void write_buffer(const std::string& name, int64_t offset, const std::vector<float>& values) override;
  std::vector<uint8_t> read_bytes(const std::string& name) override;
  void write_bytes(const std::string& name, const std::vector<uint8_t>& bytes) override;
  int compile(Program program) override;
  void release(int handle) override;
  NamedValues run(int handle, const NamedValues& inputs) override;
  MemoryUse memory() const override;
  void profile(bool enable) override;
  std::vector<ProfileEntry> profile_report() const override;
  Choices measured() const override { return tuner_.measured(); }

 private:
  struct Step {
    Launch launch;
    std::vector<size_t> stored;  // inputs that it takes as they are stored
    Operands operands;
    Visible visible;
    bool repeatable = false;
    size_t profile_slot = 0;
  };
  struct InputCheck {
    size_t instruction, port;
    CudaRequest::InputCheck check;
  };
  struct Compiled {
    Program program;
    std::vector<Step> steps;
    std::vector<InputCheck> checks;
    std::vector<std::string> held;  // weights
    Residency residency;
    PinnedBlock ports;              // values of the inputs, then of the outputs
    std::vector<int64_t> input_at, output_at;
    int64_t bound = -1;  // the generation of addresses that the operands hold
    int runs = 0;        // since then
    cudaGraphExec_t graph = nullptr;
  };

  void prepare(Compiled& compiled);
  void lay_out_ports(Compiled& compiled);
  void replace(DeviceBlock& block, const char* what, int64_t bytes);
  void* address_of(const Program& program, int tensor);
  void bind(Compiled& compiled);
  void check_values(const Compiled& compiled);
  void copy_inputs(const Compiled& compiled);
  void copy_outputs(const Compiled& compiled);
  void launch_one(Compiled& compiled, size_t index, Tuner* tuner);
  void launch_all(Compiled& compiled);
  void capture(Compiled& compiled);
  void drop_graph(Compiled& compiled);
  void settle();
  void synchronise(const char* doing) { check(cudaStreamSynchronize(stream_), doing); }

  Context context_;
  CardInfo card_;
  Tuner tuner_;
  DeviceWeights weights_;
  DeviceBuffers buffers_;
  DeviceBlock arena_, scratch_, ring_, opened_;  // the last two: see residency.h
  std::map<int, Compiled> programs_;
  int next_handle_ = 1;
  int64_t generation_ = 0;  // grows whenever an address may have changed
  bool profiling_ = false;
  bool debug_ = false;  // LORIKEET_CUDA_DEBUG: waits after each instruction
  Profile profile_;
  Stream stream_ = {}, copies_ = {};
  cudaEvent_t before_ = {}, after_ = {};
};

}  // namespace LORIKEET_CUDA
