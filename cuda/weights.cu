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
  int64_t largest = 0;
  for (const WeightSpec& spec : specs) {
    const auto found = weights_.find(spec.name);
    if (found != weights_.end() && found->second.users > 0) require_same(found->second.spec, spec);
    largest = std::max(largest, spec.bytes());
  }
  const PinnedBlock staging(largest);
  const auto place = [&](const WeightSpec&) { return staging.bytes_at(0); };
  return read_weights(specs, progress, place, [&](const WeightSpec& spec) {
    const auto found = weights_.find(spec.name);
    if (found != weights_.end() && found->second.block.bytes() == spec.bytes()) {
      found->second.block.write(staging.bytes_at(0));
      found->second.spec = WeightSpec{spec.name, spec.dtype, spec.shape, {}};
      return;
    }
    DeviceBlock block(("the weight '" + spec.name + "'").c_str(), spec.bytes());
    block.write(staging.bytes_at(0));
    Weight& weight = weights_[spec.name];
    weight.spec = WeightSpec{spec.name, spec.dtype, spec.shape, {}};
    weight.block = std::move(block);
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
  std::vector<char> plain(static_cast<size_t>(weight.block.bytes()));
  weight.block.read(plain.data(), 0, weight.block.bytes());
  return widened(plain.data(), weight.spec.dtype, elements_of(weight.spec.shape));
}

int64_t DeviceWeights::bytes() const {
  int64_t sum = 0;
  for (const auto& [name, weight] : weights_) sum += weight.block.bytes();
  return sum;
}

}  // namespace LORIKEET_CUDA
