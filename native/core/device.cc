#include "device.h"

#include <algorithm>

namespace lorikeet {

static std::vector<std::function<DeviceKind()>>& finders() {
  static std::vector<std::function<DeviceKind()>> list;
  return list;
}

DeviceRegistration::DeviceRegistration(std::function<DeviceKind()> find) { finders().push_back(std::move(find)); }

const std::vector<DeviceKind>& device_kinds() {
  static const std::vector<DeviceKind> kinds = [] {
    std::vector<DeviceKind> found;
    for (const auto& find : finders()) found.push_back(find());
    std::sort(found.begin(), found.end(), [](const DeviceKind& a, const DeviceKind& b) { return a.name < b.name; });
    return found;
  }();
  return kinds;
}

std::vector<const Device*> devices() {
  std::vector<const Device*> all;
  for (const DeviceKind& kind : device_kinds()) all.insert(all.end(), kind.devices.begin(), kind.devices.end());
  return all;
}

const Device& device_named(const std::string& name) {
  std::string known;
  for (const Device* device : devices()) {
    const std::string candidate = device->info().name;
    if (candidate == name) return *device;
    known += (known.empty() ? "" : ", ") + candidate;
  }
  fail("this build has no device '", name, "': it has ", known);
}

}  // namespace lorikeet
