// The engine of the CPU device: programs are bound to host pointers when they are compiled and run instruction by
// instruction on the calling thread; the kernels spread over the cores by OpenMP.
#pragma once

#include "../core/device.h"
#include "../core/profile.h"
#include "kernel.h"

namespace lorikeet::cpu {

class CpuEngine : public Engine {
 public:
  explicit CpuEngine(const EngineOptions& options);

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

 private:
  struct Buffer {
    Block block;
    std::optional<DType> dtype;
  };
  struct Step {
    std::unique_ptr<Kernel> kernel;
    Operands operands;
    size_t profile_slot = 0;
  };
  struct Compiled {
    Program program;
    std::vector<Step> steps;
    std::vector<std::shared_ptr<const PlainWeight>> plain;  // per tensor; null where no plain copy is needed
    int64_t bound = -1;                                     // the generation of pointers that the operands hold
  };

  void use_threads() const;
  Buffer& buffer_named(const std::string& name);
  void check_tensors(const Program& program) const;
  Compiled prepare(Program program);
  void* address_of(const Compiled& compiled, int tensor) const;
  void bind(Compiled& compiled) const;

  EngineOptions options_;
  WeightStore weights_;
  Scratch scratch_;
  std::map<std::string, Buffer> buffers_;
  Block arena_;
  std::map<int, Compiled> programs_;
  int next_handle_ = 1;
  int64_t generation_ = 0;  // grows whenever a pointer may have moved
  bool profiling_ = false;
  Profile profile_;
};

}  // namespace lorikeet::cpu
