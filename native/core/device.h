// A device and an engine on it: what the binding drives. An engine holds weights, buffers, one arena and compiled
// programs; none of its functions is thread-safe, the binding calls them from one thread in order. All of them throw
// Error.
#pragma once

#include <atomic>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "program.h"
#include "weight_store.h"

namespace lorikeet {

struct DeviceInfo {
  std::string name;         // "cpu"
  std::string description;  // the processor's own name
  std::vector<std::string> compute_dtypes;
  int threads = 1;
  std::string isa;               // "avx512_bf16"; "sm_86" for a card of compute capability 8.6
  int64_t memory_total = 0;      // bytes of its own memory; 0 where it shares the host's
};

// Which of several kernels that give the same bits an instruction's launches take: the kernel's name by what describes
// the problem ("matmul bf16 m4096 n320 k320+8": "128x64").
using Choices = std::map<std::string, std::string>;

struct EngineOptions {
  DType compute_dtype = DType::f32;
  int threads = 0;           // 0: the device's default
  int64_t memory_budget = 0;  // bytes of the device's own memory that may be taken; 0: the device's default
  Choices choices;           // measured earlier on such a device
  bool measure = false;      // others, in the first run of each program; devices without alternatives ignore both
};

struct MemoryUse {  // bytes
  int64_t arena = 0;
  int64_t buffers = 0;
  int64_t weights = 0;  // plain copies
  int64_t packed = 0;
  int64_t scratch = 0;
  int64_t staging = 0;  // of weights that are fetched from the host or opened for each use
  int64_t host = 0;     // of weights, in pinned memory of the host
};

struct ProfileEntry {
  std::string op;
  std::string label;  // of the first output
  int64_t calls = 0;
  double milliseconds = 0;
};

// f32 for f32 and bf16 tensors, int32 for i32 tensors.
using Values = std::variant<std::vector<float>, std::vector<int32_t>>;
using NamedValues = std::map<std::string, Values>;

struct BufferPiece {
  int64_t offset = 0;  // bytes
  WeightSource source;
  Shape shape;
};

class Engine {
 public:
  virtual ~Engine() = default;

  // Returns how far the quantised ones are from their sources.
  virtual std::vector<StorageError> add_weights(const std::vector<WeightSpec>& specs,
                                                const std::function<bool(int64_t, int64_t)>& progress) = 0;
  virtual void remove_weights(const std::vector<std::string>& names) = 0;
  virtual std::vector<float> read_weight(const std::string& name) = 0;

  // Zero-filled. One of the same name and size is kept as it is. Without a dtype, the first program that refers to the
  // buffer decides how read_buffer and write_buffer see it.
  virtual void create_buffer(const std::string& name, int64_t bytes, std::optional<DType> dtype) = 0;
  virtual void remove_buffer(const std::string& name) = 0;  // programs that refer to it no longer run
  virtual void load_buffer(const std::string& name, const std::vector<BufferPiece>& pieces) = 0;
  virtual std::vector<float> read_buffer(const std::string& name, int64_t offset, int64_t count) = 0;
  virtual void write_buffer(const std::string& name, int64_t offset, const std::vector<float>& values) = 0;
  virtual std::vector<uint8_t> read_bytes(const std::string& name) = 0;  // of a whole buffer, whatever it holds
  virtual void write_bytes(const std::string& name, const std::vector<uint8_t>& bytes) = 0;

  virtual int compile(Program program) = 0;  // returns a handle
  virtual void release(int handle) = 0;
  virtual NamedValues run(int handle, const NamedValues& inputs) = 0;

  virtual MemoryUse memory() const = 0;
  virtual void profile(bool enable) = 0;
  virtual std::vector<ProfileEntry> profile_report() const = 0;

  // What was measured since the engine was opened. From any thread.
  virtual Choices measured() const { return {}; }

  // From any thread: a run() in progress throws before its next instruction.
  void cancel() { cancelled_ = true; }

 protected:
  std::atomic<bool> cancelled_{false};
};

class Device {
 public:
  virtual ~Device() = default;
  virtual DeviceInfo info() const = 0;
  // Bytes of its own memory that are free at present. Asking makes a card ready for work, which info() does not.
  virtual int64_t memory_free() const { return 0; }
  virtual std::vector<std::string> ops() const = 0;  // sorted
  virtual std::unique_ptr<Engine> open(const EngineOptions& options) const = 0;
};

// A kind of device that this build has: the devices of that kind that are there, or why there is none.
struct DeviceKind {
  std::string name;
  std::vector<const Device*> devices;  // live as long as the process
  std::string problem;                 // in words, when there are no devices
};

// Asked once, when somebody first wants to know.
const std::vector<DeviceKind>& device_kinds();         // sorted by name
std::vector<const Device*> devices();
const Device& device_named(const std::string& name);  // throws Error naming the devices there are

// Registers a kind while the addon is loaded.
struct DeviceRegistration {
  explicit DeviceRegistration(std::function<DeviceKind()> find);
};

}  // namespace lorikeet
