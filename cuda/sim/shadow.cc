#include "shadow.h"

namespace lorikeet::sim {

Shadow::Shadow(size_t bytes, size_t grain, bool shared)
    : cells_((bytes + grain - 1) / grain), grain_(grain), shared_(shared) {}

// Whether the last write to the cell happens before what `clock` does now.
bool Shadow::write_is_ordered(const Cell& cell, const Clock& clock, const Interval& interval) const {
  if (cell.write_epoch < interval.launch) return true;                  // launches are ordered
  if (cell.write_epoch < interval.block) return false;                  // another block of this launch
  if (cell.write_epoch < interval.now) return true;
  if (cell.contended) return false;
  if (cell.writer == clock.thread) return true;
  return cell.writer / 32 == clock.warp() && clock.seen[cell.writer % 32] > cell.write_barriers;
}

bool Shadow::reads_are_ordered(const Cell& cell, const Clock& clock, const Interval& interval) const {
  if (cell.foreign_read >= interval.launch && cell.foreign_read < interval.block) return false;
  if (cell.read_epoch < (shared_ ? interval.block : interval.launch)) return true;
  if (cell.read_epoch < interval.block) return false;
  if (cell.read_epoch < interval.now) return true;
  if (cell.reader_warp != clock.warp()) return false;
  for (uint32_t lanes = cell.reader_lanes & ~(1u << clock.lane()); lanes != 0; lanes &= lanes - 1) {
    if (clock.seen[__builtin_ctz(lanes)] <= cell.read_barriers) return false;
  }
  return true;
}

Conflict Shadow::check(const Cell& cell, Touch how, const Clock& clock, const Interval& interval) const {
  const bool own_block = cell.write_epoch >= interval.block;
  const auto writer = [&](Conflict::Kind kind) {
    return Conflict{kind, cell.write_site, own_block ? cell.writer : -1, 0};
  };
  if (shared_ && !own_block) return how == Touch::write ? Conflict{} : writer(Conflict::uninitialised);
  if (cell.in_flight) return writer(Conflict::in_flight);
  if (how == Touch::atomic && cell.atomic && cell.write_epoch >= interval.launch) return {};
  if (!write_is_ordered(cell, clock, interval)) return writer(Conflict::race_with_write);
  if (how != Touch::read && !reads_are_ordered(cell, clock, interval)) {
    const uint32_t lanes = cell.reader_lanes;
    const bool one =
        cell.read_epoch >= interval.block && cell.reader_warp != kSeveralWarps && (lanes & (lanes - 1)) == 0;
    return {Conflict::race_with_read, cell.read_site, one ? cell.reader_warp * 32 + __builtin_ctz(lanes) : -1, 0};
  }
  return {};
}

Conflict Shadow::touch(size_t offset, size_t bytes, Touch how, const Clock& clock, const Interval& interval,
                       Site site) {
  if (cells_.empty()) return {};  // nobody watches this memory
  for (size_t i = offset / grain_; i <= (offset + bytes - 1) / grain_; i++) {
    Cell& cell = cells_[i];
    Conflict conflict = check(cell, how, clock, interval);
    if (conflict.kind != Conflict::none) {
      conflict.offset = i * grain_;
      return conflict;
    }
    if (how == Touch::read) {
      // Reads that come before this one are forgotten; others are kept beside it.
      if (!shared_ && cell.read_epoch >= interval.launch && cell.read_epoch < interval.block) {
        cell.foreign_read = cell.read_epoch;
      }
      const bool add = !reads_are_ordered(cell, clock, interval);
      const bool same_warp = add && cell.read_epoch == interval.now && cell.reader_warp == clock.warp();
      cell.reader_lanes = 1u << clock.lane() | (same_warp ? cell.reader_lanes : 0);
      cell.reader_warp = add && !same_warp ? kSeveralWarps : clock.warp();
      cell.read_epoch = interval.now;
      cell.read_barriers = clock.warp_barriers;
      cell.read_site = site;
    } else {
      cell.contended = how == Touch::atomic && cell.atomic && !write_is_ordered(cell, clock, interval);
      cell.write_epoch = interval.now;
      cell.write_barriers = clock.warp_barriers;
      cell.writer = clock.thread;
      cell.write_site = site;
      cell.atomic = how == Touch::atomic;
      cell.in_flight = false;
    }
  }
  return {};
}

Conflict Shadow::issue(size_t offset, size_t bytes, const Clock& clock, const Interval& interval, Site site) {
  const Conflict conflict = touch(offset, bytes, Touch::write, clock, interval, site);
  for (size_t i = offset / grain_; i <= (offset + bytes - 1) / grain_; i++) cells_[i].in_flight = true;
  return conflict;
}

void Shadow::land(size_t offset, size_t bytes, const Clock& clock, const Interval& interval) {
  for (size_t i = offset / grain_; i <= (offset + bytes - 1) / grain_; i++) {
    cells_[i].in_flight = false;
    cells_[i].write_epoch = interval.now;
    cells_[i].write_barriers = clock.warp_barriers;
  }
}

}  // namespace lorikeet::sim
