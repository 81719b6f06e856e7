// The emulated card: what it has in memory, how strict it is, what its kernels did. Launches use the machine in use on
// the calling host thread and return when the kernel has run.
#pragma once

#include <map>
#include <string>

#include "block.h"

namespace lorikeet::sim {

enum class Mode {
  strict,  // every access checked and counted
  fast,    // no checks; only blocks, barriers and tensor instructions are counted
};

class Machine {
 public:
  explicit Machine(Mode mode) : mode_(mode) {}
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

  void launch(const char* kernel, const LaunchShape& shape, void (*body)(void*), void* argument);  // throws Fault

  // The buffer that a pointer handed to a kernel leads into; for null one without elements. Null in fast mode. Throws
  // Fault when there is none.
  const Buffer* buffer_of(const void* pointer) const;

  Mode mode() const { return mode_; }
  Memory& memory() { return memory_; }
  std::map<std::string, Counters>& counters() { return counters_; }  // by kernel

 private:
  static inline thread_local Machine* current_ = nullptr;
  Mode mode_;
  Memory memory_;
  Buffer nothing_{"a null pointer", nullptr, 0, 1, Rights::read};
  uint32_t epoch_ = 0;
  std::map<std::string, Counters> counters_;
};

}  // namespace lorikeet::sim
