// Which card the runtime's calls of this thread go to.
#pragma once

#include "../native/core/kernel.h"
#include "device_memory.h"

namespace LORIKEET_CUDA {

struct CardInfo {
  std::string name;
  int64_t memory_bytes = 0;
  int multiprocessors = 0;
  int major = 0, minor = 0;  // compute capability
};

#if defined(__CUDACC__)

class Context {
 public:
  explicit Context(int card) : card_(card) {}
  class Use {
   public:
    explicit Use(const Context& context) { check(cudaSetDevice(context.card_), "choosing the card"); }
  };

 private:
  int card_;
};

#else

// A card of its own. Environment variables: LORIKEET_CUDA_SIM=strict checks and counts everything; LORIKEET_CUDA_SIM_CARD
// names another card of cuda/sim/cards.cc.
class Context {
 public:
  explicit Context(int card);
  class Use {
   public:
    explicit Use(const Context& context) : use_(*context.machine_) {}

   private:
    sim::Machine::Use use_;
  };
  sim::Machine& machine() const { return *machine_; }

 private:
  std::unique_ptr<sim::Machine> machine_;
};

#endif

int card_count();  // 0 without a driver
CardInfo card_info(int card);  // throws Error

// What the instruction in work may touch: its operands and nothing else. The emulator watches over it; on a card it is
// nothing. Kept for as long as launches may run.
class Visible {
 public:
  Visible() = default;
  Visible(const Context& context, const OpRequest& request, const Operands& operands);

#if defined(__CUDACC__)
  struct Scope {
    Scope(const Context&, const Visible&) {}
  };
#else
  class Scope {
   public:
    Scope(const Context& context, const Visible& visible) : scope_(context.machine(), visible.memory_.get()) {}

   private:
    sim::Machine::Scope scope_;
  };

 private:
  std::shared_ptr<sim::Memory> memory_;
#endif
};

}  // namespace LORIKEET_CUDA
