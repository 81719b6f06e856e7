#include "weights.h"

#include <algorithm>

#include "../native/core/ports.h"

namespace LORIKEET_CUDA {

const DeviceWeights::Weight& DeviceWeights::find(const std::string& name) const {
  const auto found = weights_.find(name);
  require(found != weights_.end(), "weight '", name, "' does not exist");
  return found->second;
}

std::vector<StorageError> DeviceWeights::add(const std::vector<WeightSpec>& specs, const WeightProgress& progress) {
  int64_t largest = 0;  // of those that only pass through the host's memory
  for (const WeightSpec& spec : specs) {
    const auto found = weights_.find(spec.name);
    if (found != weights_.end() && found->second.users > 0) require_same(found->second.spec, spec);
    if (!spec.on_host) largest = std::max(largest, spec.stored_bytes());
  }
  const PinnedBlock passage(largest);
  PinnedBlock pinned;
  const auto place = [&](const WeightSpec& spec) {
    if (!spec.on_host) return passage.bytes_at(0);
    pinned = PinnedBlock(spec.stored_bytes());
    return pinned.bytes_at(0);
  };
  return read_weights(specs, progress, place, [&](const WeightSpec& spec) {
    DeviceBlock block;
    if (!spec.on_host) {
      const auto found = weights_.find(spec.name);
      if (found != weights_.end() && found->second.block.bytes() == spec.stored_bytes()) {
        block = std::move(found->second.block);
      } else {
        block = DeviceBlock(("the weight '" + spec.name + "'").c_str(), spec.stored_bytes());
      }
      block.write(passage.bytes_at(0));
    }
    Weight& weight = weights_[spec.name];
    weight.spec = WeightSpec{spec.name, spec.dtype, spec.shape, {}, spec.storage, spec.on_host};
    weight.block = std::move(block);
    weight.pinned = spec.on_host ? std::move(pinned) : PinnedBlock();
  });
}

void DeviceWeights::remove(const std::string& name) {
  const auto found = weights_.find(name);
  if (found == weights_.end()) return;
  require(found->second.users == 0, "weight '", name, "' is used by a compiled program and cannot be removed");
  weights_.erase(found);
}

std::vector<float> DeviceWeights::read(const std::string& name) const {
  const Weight& weight = find(name);
  const WeightSpec& spec = weight.spec;
  std::vector<char> stored(static_cast<size_t>(spec.stored_bytes()));
  if (spec.on_host) {
    std::copy_n(weight.pinned.bytes_at(0), stored.size(), stored.data());
  } else {
    weight.block.read(stored.data(), 0, weight.block.bytes());
  }
  if (spec.storage == Storage::plain) return widened(stored.data(), spec.dtype, elements_of(spec.shape));
  std::vector<char> opened(static_cast<size_t>(spec.bytes()));
  dequantise(stored.data(), spec.storage, spec.shape, spec.dtype, opened.data());
  return widened(opened.data(), spec.dtype, elements_of(spec.shape));
}

int64_t DeviceWeights::sum(bool on_host) const {
  int64_t sum = 0;
  for (const auto& [name, weight] : weights_) {
    if (weight.spec.on_host == on_host) sum += weight.spec.stored_bytes();
  }
  return sum;
}

}  // namespace LORIKEET_CUDA
