// The frozen weights of a card's engine, each held once and as it is stored: in the card's memory, or in pinned memory
// of the host.
#pragma once

#include <functional>
#include <map>

#include "../native/core/weight_reader.h"
#include "device_memory.h"

namespace LORIKEET_CUDA {

class DeviceWeights {
 public:
  // Throws Error; weights that were not finished are as they were before.
  std::vector<StorageError> add(const std::vector<WeightSpec>& specs, const WeightProgress& progress);
  void remove(const std::string& name);  // throws Error while a program uses it
  const WeightSpec& spec(const std::string& name) const { return find(name).spec; }  // throws Error on unknown names
  std::vector<float> read(const std::string& name) const;

  // A program's use of a weight, which keeps it from being removed.
  void hold(const std::string& name) { weights_.at(name).users++; }
  void let_go(const std::string& name) { weights_.at(name).users--; }
  // Where it lies, in the memory that its spec names.
  void* address(const std::string& name) const { return find(name).address(); }

  int64_t bytes() const { return sum(false); }      // in the card's memory
  int64_t host_bytes() const { return sum(true); }  // in the host's

 private:
  struct Weight {
    WeightSpec spec;
    DeviceBlock block;
    PinnedBlock pinned;
    int users = 0;
    void* address() const { return spec.on_host ? pinned.bytes_at(0) : block.data(); }
  };
  int64_t sum(bool on_host) const;
  const Weight& find(const std::string& name) const;
  std::map<std::string, Weight> weights_;
};

}  // namespace LORIKEET_CUDA
