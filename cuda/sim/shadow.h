// The shadow of a piece of memory: for every few bytes who wrote and read them last, and when. It answers whether two
// accesses are ordered by something in the kernel, rather than by the order in which the emulator happened to run
// its threads.
//
// Time. A block counts the barriers it has passed in an epoch, which never repeats on one machine: an epoch names
// block and interval at once. Within an interval two threads are ordered only by a warp barrier that both took part
// in; so each thread counts its warp barriers and remembers how far it has seen the other lanes of its warp.
#pragma once

#include <cstdint>
#include <vector>

#include "fault.h"

namespace lorikeet::sim {

// A thread's view of time. Lives in Thread.
struct Clock {
  uint16_t thread = 0;       // in the block
  uint32_t warp_barriers = 1;  // passed, plus one
  uint32_t seen[32] = {};    // warp_barriers of every lane of the warp, as of the last barrier with it

  uint16_t warp() const { return thread / 32; }
  uint16_t lane() const { return thread % 32; }
};

// The interval that an access falls into.
struct Interval {
  uint32_t launch = 0;  // the epoch in which the launch began
  uint32_t block = 0;   // the epoch in which the block began
  uint32_t now = 0;
};

enum class Touch : uint8_t { read, write, atomic };

// What was wrong with an access, for the message.
struct Conflict {
  enum Kind { none, uninitialised, in_flight, race_with_write, race_with_read } kind = none;
  Site other;             // the earlier access
  int thread = -1;        // that made it; -1: several, or one of another block
  size_t offset = 0;      // bytes from the start of the shadowed memory
};

class Shadow {
 public:
  // `grain`: bytes per cell; no two threads may own different parts of one cell. `shared`: memory that is fresh for
  // every block, so that reading what the block has not written is an error.
  Shadow(size_t bytes, size_t grain, bool shared);

  size_t bytes() const { return cells_.size() * grain_; }

  Conflict touch(size_t offset, size_t bytes, Touch how, const Clock& clock, const Interval& interval, Site site);

  // cp.async: in flight from issue to land. Landing is a write by the issuing thread.
  Conflict issue(size_t offset, size_t bytes, const Clock& clock, const Interval& interval, Site site);
  void land(size_t offset, size_t bytes, const Clock& clock, const Interval& interval);

 private:
  struct Cell {
    uint32_t write_epoch = 0, write_barriers = 0;
    uint32_t read_epoch = 0, read_barriers = 0;
    uint32_t foreign_read = 0;  // the last read by a block before this one
    uint32_t reader_lanes = 0;
    uint16_t writer = 0, reader_warp = 0;
    bool in_flight = false, atomic = false;
    bool contended = false;  // by atomics of several threads, of which `writer` is the last
    Site write_site, read_site;
  };
  static constexpr uint16_t kSeveralWarps = 0xffff;

  bool write_is_ordered(const Cell& cell, const Clock& clock, const Interval& interval) const;
  bool reads_are_ordered(const Cell& cell, const Clock& clock, const Interval& interval) const;
  Conflict check(const Cell& cell, Touch how, const Clock& clock, const Interval& interval) const;

  std::vector<Cell> cells_;
  size_t grain_;
  bool shared_;
};

}  // namespace lorikeet::sim
