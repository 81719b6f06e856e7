#include "block.h"

#include <cstdlib>
#include <cstring>

namespace lorikeet::sim {
namespace {

// What a block may have on every card from compute capability 8.0 up (8.6, 8.9 and 12.0 have least).
constexpr size_t kMostShared = 99 << 10;

std::string place(const dim3& index) {
  std::string text = std::to_string(index.x);
  if (index.y != 0 || index.z != 0) text += "," + std::to_string(index.y);
  if (index.z != 0) text += "," + std::to_string(index.z);
  return text;
}

}  // namespace

Block::Block(const char* kernel, const LaunchShape& shape, bool strict, uint32_t& epoch, Counters& counters,
             void (*body)(void*), void* argument)
    : kernel_(kernel),
      shape_(shape),
      strict_(strict),
      epoch_(epoch),
      counters_(counters),
      body_(body),
      argument_(argument),
      shadow_(strict ? kMostShared : 0, 2, true) {
  const unsigned threads = shape.block.count();
  const auto refuse = [&](const std::string& what) {
    throw Fault(FaultKind::launch, std::string(kernel) + ": " + what, Site());
  };
  if (threads == 0 || threads > 1024 || threads % 32 != 0) {
    refuse("a block of " + std::to_string(threads) + " threads; it must be a multiple of 32 up to 1024");
  }
  if (shape.grid.y > 65535 || shape.grid.z > 65535) refuse("a grid of more than 65535 blocks in y or z");
  if (shape.shared_bytes > kMostShared) {
    refuse(std::to_string(shape.shared_bytes) + " bytes of shared memory; some cards have no more than " +
           std::to_string(kMostShared));
  }
  interval_.launch = ++epoch_;
  shared_ = static_cast<char*>(std::aligned_alloc(1024, kMostShared / 1024 * 1024 + 1024));
  if (shared_ == nullptr) throw std::bad_alloc();
  for (unsigned warp = 0; warp < threads / 32; warp++) {
    warps_.push_back(std::make_unique<Thread[]>(32));
    for (unsigned lane = 0; lane < 32; lane++) {
      Thread& thread = warps_[warp][lane];
      const unsigned linear = warp * 32 + lane, x = shape.block.x, y = shape.block.y;
      thread.index = dim3(linear % x, linear / x % y, linear / x / y);
      thread.clock.thread = static_cast<uint16_t>(linear);
    }
  }
}

Block::~Block() { std::free(shared_); }

void Block::enter(void* self) {
  Block& block = *static_cast<Block*>(self);
  try {
    block.body_(block.argument_);
  } catch (...) {
    block.failure_ = std::current_exception();
  }
  block.wait(Thread::finished, Site());
}

void Block::run(dim3 index) {
  index_ = index;
  interval_.block = interval_.now = ++epoch_;
  if (strict_) std::memset(shared_, 0xff, kMostShared);  // NaN in every format
  for (auto& warp : warps_) {
    for (int lane = 0; lane < 32; lane++) {
      Thread& thread = warp[lane];
      thread.fiber.start(&Block::enter, this);
      thread.state = Thread::ready;
      thread.copies.clear();
      thread.groups.clear();
      thread.uncommitted = 0;
      thread.log.clear();
      const uint16_t linear = thread.clock.thread;
      thread.clock = Clock();
      thread.clock.thread = linear;
    }
  }
  counters_.blocks++;
  struct Restore {
    Block* before = current_block;
    ~Restore() { current_block = before; }
  } restore;
  current_block = this;
  for (;;) {
    bool all_finished = true;
    for (size_t warp = 0; warp < warps_.size(); warp++) {
      step_warp(static_cast<int>(warp));
      for (int lane = 0; lane < 32; lane++) all_finished &= warps_[warp][lane].state == Thread::finished;
    }
    if (all_finished) return;
    release_barrier();
  }
}

void Block::wait(Thread::State state, Site site) {
  current_->state = state;
  current_->site = site;
  current_->fiber.suspend();
}

void Block::step_warp(int warp) {
  Thread* lanes = warps_[warp].get();
  do {
    for (int lane = 0; lane < 32; lane++) {
      if (lanes[lane].state != Thread::ready) continue;
      current_ = &lanes[lane];
      current_->fiber.resume();
      if (failure_) std::rethrow_exception(failure_);
    }
    if (strict_) count_warp(warp);
  } while (complete_collective(warp));
}

// The lanes of the leader's mask that wait in the same operation.
uint64_t Block::lanes_there(const Thread* lanes, const Thread& leader) const {
  uint32_t there = 0;
  for (int lane = 0; lane < 32; lane++) {
    const Thread& other = lanes[lane];
    if (other.state == Thread::in_collective && other.collective == leader.collective && other.mask == leader.mask &&
        (!leader.collective->aligned || other.site == leader.site)) {
      there |= 1u << lane;
    }
  }
  return there & leader.mask;
}

bool Block::complete_collective(int warp) {
  Thread* lanes = warps_[warp].get();
  bool waiting = false;
  for (int lane = 0; lane < 32; lane++) {
    const Thread& leader = lanes[lane];
    if (leader.state != Thread::in_collective) continue;
    waiting = true;
    if (lanes_there(lanes, leader) != leader.mask) continue;
    WarpCall call{*this, lanes, leader.mask, {}, leader.site};
    for (int i = 0; i < 32; i++) call.arguments[i] = lanes[i].argument;
    leader.collective->run(call);
    for (int i = 0; i < 32; i++) {
      if (call.mask >> i & 1) lanes[i].state = Thread::ready;
    }
    return true;
  }
  if (waiting) report_stuck_warp(warp);
  return false;
}

void Block::report_stuck_warp(int warp) const {
  const Thread* lanes = warps_[warp].get();
  int lane = 0;
  while (lanes[lane].state != Thread::in_collective) lane++;
  const Thread& leader = lanes[lane];
  const uint32_t missing = leader.mask & ~static_cast<uint32_t>(lanes_there(lanes, leader));
  const Thread& other = lanes[__builtin_ctz(missing)];
  std::string what = std::string("waits in ") + leader.collective->name + ", which " +
                     std::to_string(__builtin_popcount(missing)) + " of the " +
                     std::to_string(__builtin_popcount(leader.mask)) + " lanes of its mask do not reach: lane " +
                     std::to_string(__builtin_ctz(missing));
  if (other.state == Thread::finished) {
    what += " has finished";
  } else if (other.state == Thread::at_barrier) {
    what += " waits in __syncthreads at " + other.site.text();
  } else {
    what += std::string(" waits in ") + other.collective->name + " at " + other.site.text();
    if (other.mask != leader.mask) what += " with another mask";
  }
  fail(FaultKind::collective_divergence, leader, what, leader.site);
}

void Block::release_barrier() {
  const Thread* first = nullptr;
  const Thread* other = nullptr;  // not where the first is
  for (auto& warp : warps_) {
    for (int lane = 0; lane < 32; lane++) {
      const Thread& thread = warp[lane];
      if (!first && thread.state == Thread::at_barrier) first = &thread;
    }
  }
  for (auto& warp : warps_) {
    for (int lane = 0; lane < 32; lane++) {
      const Thread& thread = warp[lane];
      if (!other && (thread.state != Thread::at_barrier || thread.site != first->site)) other = &thread;
    }
  }
  if (other) {
    fail(FaultKind::barrier_divergence, *first,
         "waits in __syncthreads while thread " + place(other->index) +
             (other->state == Thread::finished ? " has finished" : " waits in another one at " + other->site.text()),
         first->site);
  }
  interval_.now = ++epoch_;
  counters_.block_barriers++;
  for (auto& warp : warps_) {
    for (int lane = 0; lane < 32; lane++) warp[lane].state = Thread::ready;
  }
}

void Block::count_warp(int warp) {
  std::vector<AccessRecord>* logs[32];
  for (int lane = 0; lane < 32; lane++) logs[lane] = &warps_[warp][lane].log;
  count_requests(logs, 32, counters_);
}

void Block::sync(Site site) { wait(Thread::at_barrier, site); }

void Block::collect(const Collective& collective, uint32_t mask, void* argument, Site site) {
  Thread& thread = *current_;
  if (!(mask >> thread.clock.lane() & 1)) {
    fail(FaultKind::collective_divergence, thread,
         std::string("calls ") + collective.name + " with a mask that does not name its lane", site);
  }
  thread.collective = &collective;
  thread.mask = mask;
  thread.argument = argument;
  wait(Thread::in_collective, site);
}

const Region* Block::shared_array(const char* name, size_t bytes, Site site) {
  for (const Region& region : regions_) {
    if (region.site == site && region.name == name) return &region;
  }
  const size_t offset = (shape_.shared_bytes + static_bytes_ + 15) / 16 * 16;
  if (offset + bytes > kMostShared) {
    fail(FaultKind::launch, *current_, std::string("has no room left for shared array ") + name, site);
  }
  static_bytes_ = offset + bytes - shape_.shared_bytes;
  counters_.shared_bytes = std::max<uint64_t>(counters_.shared_bytes, shape_.shared_bytes + static_bytes_);
  regions_.push_back({name, site, offset, bytes});
  return &regions_.back();
}

const Region* Block::shared_range(const char* name, size_t offset, size_t bytes, Site site) {
  for (const Region& region : regions_) {
    if (region.site == site && region.offset == offset && region.bytes == bytes) return &region;
  }
  if (offset + bytes > shape_.shared_bytes) {
    fail(FaultKind::bounds, *current_,
         std::string("places shared array ") + name + " at bytes " + std::to_string(offset) + " to " +
             std::to_string(offset + bytes) + " of " + std::to_string(shape_.shared_bytes),
         site);
  }
  regions_.push_back({name, site, offset, bytes});
  return &regions_.back();
}

void Block::commit_async(Thread& thread) {
  thread.groups.push_back(thread.uncommitted);
  thread.uncommitted = 0;
}

void Block::wait_async(Thread& thread, size_t pending_groups) {
  while (thread.groups.size() > pending_groups) {
    for (size_t i = 0; i < thread.groups.front(); i++) {
      const PendingCopy& copy = thread.copies.front();
      std::memcpy(shared_ + copy.to, copy.from, copy.bytes);
      std::memset(shared_ + copy.to + copy.bytes, 0, copy.width - copy.bytes);
      if (strict_) shadow_.land(copy.to, copy.width, thread.clock, interval_);
      thread.copies.pop_front();
    }
    thread.groups.pop_front();
  }
}

void Block::fail(FaultKind kind, const Thread& thread, const std::string& what, Site site) const {
  throw Fault(kind,
              std::string(kernel_) + ": thread " + place(thread.index) + " of block " + place(index_) + " " + what +
                  " (" + site.text() + ")",
              site);
}

}  // namespace lorikeet::sim
