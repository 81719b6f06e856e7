#include "kernel.h"

#include <mutex>

namespace lorikeet {

// Filled by static initialisers while the addon is loaded and only read afterwards, so environments may share it.
KernelRegistry& KernelRegistry::of(const std::string& device) {
  static std::mutex mutex;
  static std::map<std::string, KernelRegistry> registries;
  const std::lock_guard<std::mutex> lock(mutex);
  KernelRegistry& registry = registries[device];
  registry.device_ = device;
  return registry;
}

void KernelRegistry::add(const std::string& op, KernelFactory factory) {
  require(factories_.emplace(op, std::move(factory)).second, "op '", op, "' is registered twice on ", device_);
}

std::unique_ptr<Kernel> KernelRegistry::create(const KernelRequest& request) const {
  const auto found = factories_.find(request.instruction.op);
  require(found != factories_.end(), "device ", device_, " has no op '", request.instruction.op, "'");
  return found->second(request);
}

std::vector<std::string> KernelRegistry::ops() const {
  std::vector<std::string> names;
  for (const auto& [name, factory] : factories_) names.push_back(name);
  return names;  // a std::map is sorted
}

}  // namespace lorikeet
