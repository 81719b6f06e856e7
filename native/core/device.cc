#include "device.h"

namespace lorikeet {

static std::vector<const Device*>& registered() {
  static std::vector<const Device*> list;
  return list;
}

const std::vector<const Device*>& devices() { return registered(); }

DeviceRegistration::DeviceRegistration(const Device& device) { registered().push_back(&device); }

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
