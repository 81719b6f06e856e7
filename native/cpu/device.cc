#include <fstream>

#include "engine.h"
#include "isa.h"
#include "parallel.h"

namespace lorikeet::cpu {

static std::string processor_name() {
  std::ifstream file("/proc/cpuinfo");
  for (std::string line; std::getline(file, line);) {
    if (line.rfind("model name", 0) != 0) continue;
    const size_t start = line.find_first_not_of(" \t", line.find(':') + 1);
    if (start != std::string::npos) return line.substr(start);
  }
  return "CPU";
}

KernelRegistry<KernelFactory>& kernel_registry() {
  static KernelRegistry<KernelFactory> registry("cpu");
  return registry;
}

class CpuDevice : public Device {
 public:
  DeviceInfo info() const override {
    DeviceInfo info;
    info.name = "cpu";
    info.description = processor_name();
    info.compute_dtypes = {"f32"};
    if (has_bf16()) info.compute_dtypes.push_back("bf16");
    info.threads = thread_count();
    info.isa = isa_name();
    return info;
  }

  std::vector<std::string> ops() const override { return kernel_registry().ops(); }

  std::unique_ptr<Engine> open(const EngineOptions& options) const override {
    return std::make_unique<CpuEngine>(options);
  }
};

static const DeviceRegistration registration([] {
  static const CpuDevice device;
  return DeviceKind{"cpu", {&device}, ""};
});

}  // namespace lorikeet::cpu
