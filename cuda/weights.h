// The frozen weights on a card: plain row-major copies, one each.
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
  void* address(const std::string& name) const { return find(name).block.data(); }

  int64_t bytes() const;

 private:
  struct Weight {
    WeightSpec spec;
    DeviceBlock block;
    int users = 0;
  };
  const Weight& find(const std::string& name) const;
  std::map<std::string, Weight> weights_;
};

}  // namespace LORIKEET_CUDA
