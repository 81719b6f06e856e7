// Choosing among kernels that do the same work and give the same bits, such as tiles of different shapes, by measuring.
// A factory offers them under a key that describes the problem, with the one to take until somebody has measured. In the
// first run of a program, launch by launch, those of a key that nobody measured yet run on the operands that are there,
// and the fastest is kept for all launches with that key.
#pragma once

#include <functional>
#include <map>
#include <mutex>
#include <string>
#include <vector>

#include "../native/core/device.h"
#include "../native/core/kernel.h"
#include "runtime.h"

namespace LORIKEET_CUDA {

struct Choice {
  std::string key;                 // "matmul bf16 m4096 n320 k320+8"
  std::vector<std::string> names;  // of the kernels
  int chosen = 0;
  bool settled = false;  // measured, here or earlier
};

class Tuner {
 public:
  // `known`: measured earlier on such a card.
  Tuner(bool measuring, Choices known) : measuring_(measuring), known_(std::move(known)) {}

  // The choice of that key, as long as the tuner lives. A name that is known from earlier and not among `names` (of
  // another build) is passed over.
  Choice& choice(const std::string& key, const std::vector<std::string>& names, int fallback);

  // For one run: itself, with as much time as a run may spend on measuring; null when nothing is to be measured.
  Tuner* for_run();

  // Settles a choice. start(i) puts kernel i into the stream, and may be called as often as it takes. Does nothing when
  // the time is used up.
  void measure(Choice& choice, const std::function<void(int)>& start, Stream stream);

  Choices measured() const;  // from any thread

 private:
  const bool measuring_;
  const Choices known_;
  std::map<std::string, Choice> choices_;
  double milliseconds_left_ = 0;
  mutable std::mutex mutex_;
  Choices measured_;
};

// Whether an instruction may be repeated: it leaves its inputs as they are and adds to nothing.
bool repeatable(const Program& program, const Instruction& instruction, const Operands& operands);

}  // namespace LORIKEET_CUDA
