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

class BudgetScope {
 public:
  explicit BudgetScope(Budget& budget) : before_(Budget::current()) { Budget::current() = &budget; }
  ~BudgetScope() { Budget::current() = before_; }
  BudgetScope(const BudgetScope&) = delete;
  BudgetScope& operator=(const BudgetScope&) = delete;

 private:
  Budget* before_;
};

#if defined(LORIKEET_CARD)

class Context {
 public:
  explicit Context(int card) : card_(card) {}
  class Use {
   public:
    explicit Use(const Context& context) : budget_(context.budget) {
      check(cudaSetDevice(context.card_), "choosing the card");
    }

   private:
    BudgetScope budget_;
  };
  mutable Budget budget;
  bool tells_time() const { return true; }

 private:
  int card_;
};

#else

// A card of its own. Environment variables: LORIKEET_CUDA_SIM=strict checks and counts everything, =sampled estimates
// times (cuda/sim/machine.h); LORIKEET_CUDA_SIM_CARD names another card of cuda/sim/cards.cc; LORIKEET_CUDA_SIM_REPORT a
// file that gets a line for each kernel at the end.
class Context {
 public:
  explicit Context(int card);
  ~Context();
  class Use {
   public:
    explicit Use(const Context& context) : budget_(context.budget), use_(*context.machine_) {}

   private:
    BudgetScope budget_;
    sim::Machine::Use use_;
  };
  mutable Budget budget;
  bool tells_time() const { return machine_->mode() != sim::Mode::fast; }  // of its own; else it is the host's
  sim::Machine& machine() const { return *machine_; }

 private:
  std::unique_ptr<sim::Machine> machine_;
};

#endif

CardInfo card_info(int card);  // throws Error; the emulated card's context must be in use, a real card needs none
int64_t free_memory();         // bytes, of the context in use

// What the instruction in work may touch: its operands and nothing else. The emulator watches over it; on a card it is
// nothing. Kept for as long as launches may run.
class Visible {
 public:
  Visible() = default;
  Visible(const Context& context, const OpRequest& request, const Operands& operands);

#if defined(LORIKEET_CARD)
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
