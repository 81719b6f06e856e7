// Fibers: functions with stacks of their own that are left and continued like coroutines. One CUDA thread is one fiber.
#pragma once

#include <cstddef>
#include <memory>
#include <vector>

namespace lorikeet::sim {

class Fiber {
 public:
  Fiber();
  ~Fiber();
  Fiber(const Fiber&) = delete;
  Fiber& operator=(const Fiber&) = delete;

  // From now on resume() runs entry(argument). Whatever ran before is forgotten where it stood: its destructors do not
  // run. `entry` must not return and no exception may leave it.
  void start(void (*entry)(void*), void* argument);
  void resume();  // until the fiber calls suspend()
  void suspend();  // by the fiber itself

  struct Context;

 private:
  std::unique_ptr<Context> context_;
};

}  // namespace lorikeet::sim
