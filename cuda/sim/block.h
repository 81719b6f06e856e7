// One block of threads: fibers in warps, shared memory, barriers and warp-wide operations. Threads run one after the
// other, each until it has to wait for others; which order that is no correct kernel can tell.
#pragma once

#include <deque>
#include <memory>
#include <string>
#include <vector>

#include "counters.h"
#include "fiber.h"
#include "memory.h"
#include "shadow.h"

struct dim3 {
  unsigned x = 1, y = 1, z = 1;
  dim3(unsigned x = 1, unsigned y = 1, unsigned z = 1) : x(x), y(y), z(z) {}
  unsigned count() const { return x * y * z; }
};

namespace lorikeet::sim {

class Block;
struct Thread;

// An operation of several lanes of a warp at once, done when the last of them has arrived. `aligned`: as the PTX
// instructions of that name, by all lanes at the same place.
struct WarpCall {
  Block& block;
  Thread* lanes;        // 32
  uint32_t mask;        // that take part
  void* arguments[32];  // what each brought
  Site site;
};
struct Collective {
  const char* name;
  bool aligned;
  void (*run)(WarpCall& call);
};

// A shared array of a kernel.
struct Region {
  std::string name;
  Site site;
  size_t offset, bytes;  // in the block's shared memory
};

// A cp.async on its way. The bytes are copied when its thread waits.
struct PendingCopy {
  size_t to;  // offset in shared memory
  const char* from;
  int bytes;   // the rest, up to `width`, becomes zero
  int width;
};

struct Thread {
  enum State : uint8_t { ready, in_collective, at_barrier, finished };
  Fiber fiber;
  dim3 index;
  State state = finished;
  Clock clock;
  // of what it waits for
  Site site;
  const Collective* collective = nullptr;
  uint32_t mask = 0;
  void* argument = nullptr;
  std::deque<PendingCopy> copies;
  std::deque<size_t> groups;  // committed: copies in each
  size_t uncommitted = 0;
  std::vector<AccessRecord> log;
};

struct LaunchShape {
  dim3 grid, block;
  size_t shared_bytes = 0;  // dynamic
};

class Block {
 public:
  // `body(argument)` is the kernel, called once for each thread.
  Block(const char* kernel, const LaunchShape& shape, bool strict, uint32_t& epoch, Counters& counters,
        void (*body)(void*), void* argument);
  ~Block();

  void run(dim3 index);  // throws Fault

  // Called by threads, through device.h and ptx.cuh.
  void sync(Site site);
  void collect(const Collective& collective, uint32_t mask, void* argument, Site site);
  const Region* shared_array(const char* name, size_t bytes, Site site);                      // static
  const Region* shared_range(const char* name, size_t offset, size_t bytes, Site site);  // of the dynamic memory
  char* shared_data() const { return shared_; }
  void touch_global(Thread& thread, const Buffer& buffer, const void* address, size_t bytes, Touch how, Site site);
  void touch_shared(Thread& thread, const Region& region, const void* address, size_t bytes, Touch how, Site site,
                    bool log = true);
  void copy_async(Thread& thread, const Region* to_region, void* to, const Buffer* from_buffer, const void* from,
                  int bytes, int width, Site site);
  void commit_async(Thread& thread);
  void wait_async(Thread& thread, size_t pending_groups);
  [[noreturn]] void fail(FaultKind kind, const Thread& thread, const std::string& what, Site site) const;

  bool strict() const { return strict_; }
  Counters& counters() { return counters_; }
  const dim3& index() const { return index_; }
  const LaunchShape& shape() const { return shape_; }
  Thread& current() { return *current_; }

 private:
  static void enter(void* block);  // the first function of every fiber
  void wait(Thread::State state, Site site);
  void step_warp(int warp);            // until all its lanes are at a barrier or finished
  bool complete_collective(int warp);  // one whose lanes are all there
  void release_barrier();
  void count_warp(int warp);
  uint64_t lanes_there(const Thread* lanes, const Thread& leader) const;
  [[noreturn]] void report_stuck_warp(int warp) const;
  void raise(const Conflict& conflict, const Thread& thread, const std::string& object, Touch how,
             Site site) const;

  const char* kernel_;
  LaunchShape shape_;
  bool strict_;
  uint32_t& epoch_;
  Interval interval_;
  Counters& counters_;
  void (*body_)(void*);
  void* argument_;
  dim3 index_;
  std::vector<std::unique_ptr<Thread[]>> warps_;
  Thread* current_ = nullptr;
  char* shared_ = nullptr;
  size_t static_bytes_ = 0;
  Shadow shadow_;
  std::deque<Region> regions_;
  std::exception_ptr failure_;
};

// The block whose thread is running on this host thread; null outside of a launch.
inline thread_local Block* current_block = nullptr;

}  // namespace lorikeet::sim
