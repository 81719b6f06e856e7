#include "tuning.h"

#include <algorithm>

#include "device_memory.h"

namespace LORIKEET_CUDA {
namespace {

// Some hundred keys make a training step, with some milliseconds each: enough for all, and an end where it is not. What
// is left over keeps its fallback until another first run.
constexpr double kMillisecondsOfRun = 3000;
constexpr double kMillisecondsOfRound = 0.25;  // so that the clock's half a microsecond does not matter
constexpr double kMostLaunches = 20;           // of a round
constexpr double kHopeless = 2;                // times the best so far
constexpr double kBetter = 0.98;               // times the fallback, which stays when others are no faster than that
#if defined(LORIKEET_CARD)
constexpr int kRounds = 3;
#else
constexpr int kRounds = 0;  // the emulated clock tells the same time whenever it is asked
#endif

class Stopwatch {
 public:
  explicit Stopwatch(Stream stream) : stream_(stream) {
    check(cudaEventCreateWithFlags(&before_, 0), "making an event");
    check(cudaEventCreateWithFlags(&after_, 0), "making an event");
  }
  ~Stopwatch() {
    if (before_) cudaEventDestroy(before_);
    if (after_) cudaEventDestroy(after_);
  }
  Stopwatch(const Stopwatch&) = delete;
  Stopwatch& operator=(const Stopwatch&) = delete;

  // Milliseconds of `count` calls of start() together.
  template <class Start>
  double time(int count, const Start& start) {
    check(cudaEventRecord(before_, stream_), "recording an event");
    for (int i = 0; i < count; i++) start();
    check(cudaEventRecord(after_, stream_), "recording an event");
    check(cudaEventSynchronize(after_), "measuring a kernel");
    float milliseconds = 0;
    check(cudaEventElapsedTime(&milliseconds, before_, after_), "reading the clock");
    return milliseconds;
  }

 private:
  Stream stream_;
  cudaEvent_t before_ = {}, after_ = {};
};

}  // namespace

Choice& Tuner::choice(const std::string& key, const std::vector<std::string>& names, int fallback) {
  const auto [place, added] = choices_.emplace(key, Choice{key, names, fallback, names.size() == 1});
  Choice& choice = place->second;
  const auto known = known_.find(key);
  if (!added || known == known_.end()) return choice;
  const auto name = std::find(names.begin(), names.end(), known->second);
  if (name == names.end()) return choice;
  choice.chosen = static_cast<int>(name - names.begin());
  choice.settled = true;
  return choice;
}

Tuner* Tuner::for_run() {
  milliseconds_left_ = kMillisecondsOfRun;
  return measuring_ ? this : nullptr;
}

// Each kernel runs once to load its code, and once to tell how often it fits a round and whether it is worth one. Rounds
// take turns, so that a card that slows down meanwhile slows all of them down; the shortest time counts.
void Tuner::measure(Choice& choice, const std::function<void(int)>& start, Stream stream) {
  if (milliseconds_left_ <= 0) return;
  const int count = static_cast<int>(choice.names.size());
  Stopwatch watch(stream);
  std::vector<double> shortest(count);
  std::vector<int> launches(count);
  const auto run = [&](int i, int times) {
    const double milliseconds = watch.time(times, [&] { start(i); });
    milliseconds_left_ -= milliseconds;
    return milliseconds / times;
  };
  const auto fastest = [&] { return std::min_element(shortest.begin(), shortest.end()); };
  for (int i = 0; i < count; i++) {
    run(i, 1);
    shortest[i] = run(i, 1);
    launches[i] = static_cast<int>(std::clamp(kMillisecondsOfRound / std::max(shortest[i], 1e-6), 1.0, kMostLaunches));
  }
  for (int round = 0; round < kRounds; round++) {
    for (int i = 0; i < count; i++) {
      if (shortest[i] <= kHopeless * *fastest()) shortest[i] = std::min(shortest[i], run(i, launches[i]));
    }
  }
  if (*fastest() < kBetter * shortest[choice.chosen]) choice.chosen = static_cast<int>(fastest() - shortest.begin());
  choice.settled = true;
  const std::lock_guard<std::mutex> lock(mutex_);
  measured_[choice.key] = choice.names[choice.chosen];
}

Choices Tuner::measured() const {
  const std::lock_guard<std::mutex> lock(mutex_);
  return measured_;
}

bool repeatable(const Program& program, const Instruction& instruction, const Operands& operands) {
  for (size_t i = 0; i < instruction.outputs.size(); i++) {
    const int output = instruction.outputs[i];
    if (output == kNoTensor) continue;
    if (program.tensors[output].space != Space::arena) return false;  // ops add to buffers
    const char* const first = static_cast<const char*>(operands.outputs[i].data);
    const char* const end = first + operands.outputs[i].bytes();
    for (const Tensor& input : operands.inputs) {
      const char* const other = static_cast<const char*>(input.data);
      if (other != nullptr && other < end && first < other + input.bytes()) return false;
    }
  }
  return true;
}

}  // namespace LORIKEET_CUDA
