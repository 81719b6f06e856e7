// Registers the devices: with the kernels that nvcc made one for each card (`cuda`, `cuda:1`, ..), and `cuda-sim`.
#include <cstdlib>
#include <fstream>

#include "engine.h"
#if !defined(LORIKEET_CARD)
#include "sim/report.h"
#endif

namespace LORIKEET_CUDA {

#if defined(LORIKEET_CARD)

constexpr const char* kName = "cuda";

static std::string version_words(int version) {
  return std::to_string(version / 1000) + "." + std::to_string(version % 1000 / 10);
}

// What keeps the driver from naming a card.
static std::string problem_of(cudaError_t status) {
  int driver = 0;
  cudaDriverGetVersion(&driver);
  if (driver == 0) return "there is no NVIDIA driver on this machine";
  if (status == cudaErrorInsufficientDriver) {
    return "the NVIDIA driver serves CUDA " + version_words(driver) + " and this build needs " +
           version_words(CUDART_VERSION) + ": update the driver, or build with an older CUDA toolkit";
  }
  const char* visible = std::getenv("CUDA_VISIBLE_DEVICES");
  if (status == cudaErrorNoDevice && visible != nullptr) {
    return "the driver shows no card (CUDA_VISIBLE_DEVICES is '" + std::string(visible) + "')";
  }
  return std::string("the driver says: ") + cudaGetErrorString(status);
}

static int count_cards(std::string& problem) {
  int count = 0;
  const cudaError_t status = cudaGetDeviceCount(&count);
  if (status == cudaSuccess && count > 0) return count;
  problem = problem_of(status == cudaSuccess ? cudaErrorNoDevice : status);
  return 0;
}

Visible::Visible(const Context&, const OpRequest&, const Operands&) {}

#else

constexpr const char* kName = "cuda-sim";

static int count_cards(std::string&) { return 1; }

static const sim::Card& card_wanted() {
  const char* name = std::getenv("LORIKEET_CUDA_SIM_CARD");
  if (name == nullptr || *name == '\0') return sim::cards().front();
  std::string known;
  for (const sim::Card& card : sim::cards()) {
    if (name == std::string(card.name)) return card;
    known += (known.empty() ? "" : ", ") + std::string(card.name);
  }
  fail("LORIKEET_CUDA_SIM_CARD is '", name, "'; the emulator knows ", known);
}

static sim::Mode mode_wanted() {
  const char* value = std::getenv("LORIKEET_CUDA_SIM");
  const std::string mode = value == nullptr || *value == '\0' ? "fast" : value;
  if (mode == "fast") return sim::Mode::fast;
  if (mode == "strict") return sim::Mode::strict;
  if (mode == "sampled") return sim::Mode::sampled;
  fail("LORIKEET_CUDA_SIM is '", mode, "'; expected fast, strict or sampled");
}

Context::Context(int) : machine_(std::make_unique<sim::Machine>(mode_wanted(), card_wanted())) {}

Context::~Context() {
  const char* file = std::getenv("LORIKEET_CUDA_SIM_REPORT");
  if (file == nullptr || *file == '\0' || machine_->counters().empty()) return;
  std::ofstream(file, std::ios::app) << sim::report(machine_->counters(), machine_->card());
}

Visible::Visible(const Context& context, const OpRequest& request, const Operands& operands) {
  if (context.machine().mode() == sim::Mode::fast) return;
  memory_ = std::make_shared<sim::Memory>(context.machine().mode() == sim::Mode::strict);
  const auto add = [&](const Tensor& tensor, const std::string& name, sim::Rights rights) {
    if (tensor.bytes() == 0 || memory_->find(tensor.data)) return;  // an output may be an input as well
    const size_t element = static_cast<size_t>(bytes_of(tensor.dtype));
    memory_->add(name, tensor.data, static_cast<size_t>(tensor.bytes()), element, rights);
  };
  const auto label = [](const char* kind, size_t i, const TensorSpec& spec) {
    return kind + std::to_string(i) + " '" + spec.name + "'";
  };
  for (size_t i = 0; i < operands.outputs.size(); i++) {
    if (request.has_output(i)) {
      add(operands.outputs[i], label("output ", i, request.outputs[i]), sim::Rights::read_write);
    }
  }
  for (size_t i = 0; i < operands.inputs.size(); i++) {
    if (request.has_input(i)) add(operands.inputs[i], label("input ", i, request.inputs[i]), sim::Rights::read);
  }
}

#endif

CardInfo card_info(int card) {
  cudaDeviceProp properties;
  check(cudaGetDeviceProperties(&properties, card), "asking for the card's properties");
  CardInfo info;
  info.name = properties.name;
  info.memory_bytes = static_cast<int64_t>(properties.totalGlobalMem);
  info.multiprocessors = properties.multiProcessorCount;
  info.major = properties.major;
  info.minor = properties.minor;
  return info;
}

int64_t free_memory() {
  size_t free = 0, total = 0;
  if (cudaMemGetInfo(&free, &total) == cudaSuccess) return static_cast<int64_t>(free);
  cudaGetLastError();  // a card so full that not even this can be asked has none
  return 0;
}

// What it is, without making a context on a card: whoever lists devices must take nothing from those in use.
static CardInfo look_at(int card) {
#if !defined(LORIKEET_CARD)
  const Context context(card);
  const Context::Use use(context);
#endif
  return card_info(card);
}

KernelRegistry<LaunchFactory>& kernel_registry() {
  static KernelRegistry<LaunchFactory> registry(kName);
  return registry;
}

class CudaDevice : public Device {
 public:
  explicit CudaDevice(int card) : card_(card) {}

  DeviceInfo info() const override {
    const CardInfo card = look_at(card_);
    DeviceInfo info;
    info.name = card_ == 0 ? kName : std::string(kName) + ":" + std::to_string(card_);
    info.description = card.name;
    info.compute_dtypes = {"f32", "bf16"};
    info.threads = 1;
    info.isa = "sm_" + std::to_string(card.major) + std::to_string(card.minor);
    info.memory_total = card.memory_bytes;
    return info;
  }

  int64_t memory_free() const override {
    const Context context(card_);
    const Context::Use use(context);
    return free_memory();
  }

  std::vector<std::string> ops() const override { return kernel_registry().ops(); }

  std::unique_ptr<Engine> open(const EngineOptions& options) const override {
    return std::make_unique<CudaEngine>(card_, options);
  }

 private:
  int card_;
};

constexpr int kOldestMajor = 8;  // bf16 tensor cores and cp.async came with compute capability 8.0

// What keeps us from using it. Never throws: a card in trouble must not keep anybody from the other devices.
static std::string problem_with(int card) {
  try {
    const CardInfo info = look_at(card);
    if (info.major >= kOldestMajor) return "";
    return info.name + " has compute capability " + std::to_string(info.major) + "." + std::to_string(info.minor) +
           ", and 8.0 is needed";
  } catch (const std::exception& error) {
    return error.what();
  }
}

static DeviceKind find_cards() {
  static std::vector<std::unique_ptr<CudaDevice>> cards;
  DeviceKind kind{kName, {}, ""};
  const int count = count_cards(kind.problem);
  for (int card = 0; card < count; card++) {
    const std::string problem = problem_with(card);
    if (!problem.empty()) {
      kind.problem += (kind.problem.empty() ? "" : "; ") + problem;
      continue;
    }
    cards.push_back(std::make_unique<CudaDevice>(card));
    kind.devices.push_back(cards.back().get());
  }
  return kind;
}

static const DeviceRegistration registration(find_cards);

}  // namespace LORIKEET_CUDA
