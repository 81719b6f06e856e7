// The emulated card: what it has in memory, how strict it is, what its kernels did. Launches use the machine in use on
// the calling host thread and return when the kernel has run.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "block.h"
#include "cards.h"

namespace lorikeet::sim {

enum class Mode {
  strict,   // every access checked and counted
  fast,     // no checks; only blocks, barriers and tensor instructions are counted
  sampled,  // as strict, but of each launch only a few blocks run, and what they did counts for all: results are
            // worthless, the time that a card would need is an estimate. Races between blocks are not looked for.
};

// A launch. `body(argument)` is the kernel with its parameters, called once for each thread; beside that stands what was
// launched, for those who would run it another way.
struct KernelCall {
  const char* name;
  LaunchShape shape;
  const void* function;
  std::vector<std::pair<const void*, size_t>> parameters;  // address and size of each
  void (*body)(void*);
  void* argument;
};

struct Host;  // runtime.cc
std::shared_ptr<Host> make_host(uint32_t seed);

class Machine {
 public:
  // `seed`: of the order in which streams run.
  explicit Machine(Mode mode, const Card& card = cards().front(), uint32_t seed = 1)
      : mode_(mode), card_(card), host_(make_host(seed)), memory_(mode == Mode::strict) {}
  Machine(const Machine&) = delete;
  Machine& operator=(const Machine&) = delete;

  // Makes it the machine of this host thread for as long as the result lives.
  class Use {
   public:
    explicit Use(Machine& machine) : before_(current_) { current_ = &machine; }
    ~Use() { current_ = before_; }
    Use(const Use&) = delete;
    Use& operator=(const Use&) = delete;

   private:
    Machine* before_;
  };
  static Machine& current();  // throws std::logic_error when none is in use

  void launch(const KernelCall& call);               // throws Fault
  void emulate(const KernelCall& call, Mode mode);  // throws Fault

  // Called for launches instead of emulate() when set.
  static inline void (*on_launch)(Machine& machine, const KernelCall& call) = nullptr;

  // The buffer that a pointer handed to a kernel leads into; for null one without elements. Null in fast mode. Throws
  // Fault when there is none.
  const Buffer* buffer_of(const void* pointer) const;
  std::vector<const Buffer*> buffers() const;  // all that kernels may touch

  // While one lives, kernels that are launched may touch nothing but these buffers and those that are open to all. Its
  // buffers must outlive the launches.
  class Scope {
   public:
    Scope(Machine& machine, const Memory* memory) : machine_(machine), before_(machine.scope_) {
      machine.scope_ = memory;
    }
    ~Scope() { machine_.scope_ = before_; }
    Scope(const Scope&) = delete;
    Scope& operator=(const Scope&) = delete;

   private:
    Machine& machine_;
    const Memory* before_;
  };

  Mode mode() const { return mode_; }
  const Card& card() const { return card_; }
  const Memory* scope() const { return scope_; }
  Host& host() { return *host_; }
  Memory& memory() { return memory_; }
  std::map<std::string, Counters>& counters() { return counters_; }  // by kernel

  // What the card has spent on launches so far, at the least (see Roofline); nothing in fast mode.
  double microseconds() const { return microseconds_; }

 private:
  static inline thread_local Machine* current_ = nullptr;
  Mode mode_;
  const Card& card_;
  std::shared_ptr<Host> host_;
  Memory memory_;
  const Memory* scope_ = nullptr;
  Buffer nothing_{"a null pointer", nullptr, 0, 1, Rights::read, false};
  uint32_t epoch_ = 0;
  std::map<std::string, Counters> counters_;
  double microseconds_ = 0;
};

}  // namespace lorikeet::sim
