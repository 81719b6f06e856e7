// The checks that strict mode makes of every access, and the records from which requests are counted.
#include "block.h"

#include <cstring>

namespace lorikeet::sim {
namespace {

const char* verb(Touch how) {
  switch (how) {
    case Touch::read: return "reads ";
    case Touch::write: return "writes ";
    case Touch::atomic: return "updates ";
  }
  return "touches ";
}

// Where a record says an access was: offsets in a buffer, which cudaMalloc would align to 256 bytes, and buffers apart.
uint64_t record_address(const Buffer& buffer, int64_t offset) {
  return reinterpret_cast<uintptr_t>(&buffer) << 30 | static_cast<uint64_t>(offset);
}

std::string element(const std::string& name, int64_t index) { return name + "[" + std::to_string(index) + "]"; }

}  // namespace

void Block::raise(const Conflict& conflict, const Thread& thread, const std::string& object, Touch how,
                  Site site) const {
  const std::string what = verb(how) + object;
  const std::string who =
      conflict.thread < 0 ? "other threads" : "thread " + std::to_string(conflict.thread) + " of the block";
  switch (conflict.kind) {
    case Conflict::none: return;
    case Conflict::uninitialised:
      fail(FaultKind::uninitialised, thread, what + ", which no thread of the block has written before", site);
    case Conflict::in_flight:
      fail(FaultKind::async_copy, thread,
           what + " while the cp.async of " + who + " at " + conflict.other.text() + " has not been waited for", site);
    case Conflict::race_with_write:
      fail(FaultKind::race, thread,
           what + ", written by " + who + " at " + conflict.other.text() + ", with no barrier between", site);
    case Conflict::race_with_read:
      fail(FaultKind::race, thread,
           what + ", read by " + who + " at " + conflict.other.text() + ", with no barrier between", site);
  }
}

void Block::touch_global(Thread& thread, const Buffer& buffer, const void* address, size_t bytes, Touch how,
                         Site site) {
  const int64_t offset = static_cast<const char*>(address) - buffer.data;
  const int64_t size = static_cast<int64_t>(buffer.element_bytes);
  const int64_t index = offset >= 0 ? offset / size : -((-offset + size - 1) / size);
  if (offset < 0 || offset + static_cast<int64_t>(bytes) > static_cast<int64_t>(buffer.bytes)) {
    fail(FaultKind::bounds, thread,
         verb(how) + std::to_string(bytes) + " bytes at " + element(buffer.name, index) + ", which has " +
             std::to_string(buffer.bytes / buffer.element_bytes) + " elements",
         site);
  }
  if (reinterpret_cast<uintptr_t>(address) % bytes != 0) {
    fail(FaultKind::misaligned, thread,
         verb(how) + std::to_string(bytes) + " bytes at " + element(buffer.name, index) + ", whose address is no " +
             "multiple of that",
         site);
  }
  if (how != Touch::read && buffer.rights == Rights::read) {
    fail(FaultKind::read_only, thread, verb(how) + element(buffer.name, index) + ", which may only be read", site);
  }
  const Conflict conflict = buffer.shadow.touch(offset, bytes, how, thread.clock, interval_, site);
  if (conflict.kind != Conflict::none) {
    raise(conflict, thread, element(buffer.name, conflict.offset / size), how, site);
  }
  if (how != Touch::write) buffer.read.add(offset, bytes);
  if (how != Touch::read) buffer.written.add(offset, bytes);
  thread.log.push_back({site, record_address(buffer, offset), static_cast<uint8_t>(bytes),
                        how == Touch::write ? AccessRecord::store : AccessRecord::load});
}

void Block::touch_shared(Thread& thread, const Region& region, const void* address, size_t bytes, Touch how, Site site,
                         bool log) {
  const int64_t offset = static_cast<const char*>(address) - shared_ - static_cast<int64_t>(region.offset);
  if (offset < 0 || offset + static_cast<int64_t>(bytes) > static_cast<int64_t>(region.bytes)) {
    fail(FaultKind::bounds, thread,
         verb(how) + std::to_string(bytes) + " bytes at byte " + std::to_string(offset) + " of shared array " +
             region.name + ", which has " + std::to_string(region.bytes),
         site);
  }
  const size_t at = region.offset + static_cast<size_t>(offset);
  if (at % bytes != 0) {
    fail(FaultKind::misaligned, thread,
         verb(how) + std::to_string(bytes) + " bytes at byte " + std::to_string(offset) + " of shared array " +
             region.name + ", whose address is no multiple of that",
         site);
  }
  const Conflict conflict = shadow_.touch(at, bytes, how, thread.clock, interval_, site);
  if (conflict.kind != Conflict::none) {
    raise(conflict, thread,
          "byte " + std::to_string(conflict.offset - region.offset) + " of shared array " + region.name, how, site);
  }
  if (log) thread.log.push_back({site, at, static_cast<uint8_t>(bytes), AccessRecord::shared});
}

void Block::copy_async(Thread& thread, const Region* to_region, void* to, const Buffer* from_buffer, const void* from,
                       int bytes, int width, Site site) {
  const size_t at = static_cast<size_t>(static_cast<char*>(to) - shared_);
  if (strict_) {
    // Hardware checks the alignment of the source also when nothing is read from it.
    if (reinterpret_cast<uintptr_t>(from) % width != 0) {
      fail(FaultKind::misaligned, thread, "copies from an address that is no multiple of " + std::to_string(width),
           site);
    }
    touch_shared(thread, *to_region, to, width, Touch::write, site);
    shadow_.issue(at, width, thread.clock, interval_, site);
    std::memset(to, 0xff, width);
    if (bytes > 0) {
      const Buffer& buffer = *from_buffer;
      const int64_t offset = static_cast<const char*>(from) - buffer.data;
      if (offset < 0 || offset + bytes > static_cast<int64_t>(buffer.bytes)) {
        const int64_t size = static_cast<int64_t>(buffer.element_bytes);
        fail(FaultKind::bounds, thread,
             "copies " + std::to_string(bytes) + " bytes from " + element(buffer.name, offset / size) +
                 ", which has " + std::to_string(buffer.bytes / buffer.element_bytes) + " elements",
             site);
      }
      const Conflict conflict = buffer.shadow.touch(offset, bytes, Touch::read, thread.clock, interval_, site);
      if (conflict.kind != Conflict::none) {
        raise(conflict, thread, element(buffer.name, conflict.offset / buffer.element_bytes), Touch::read, site);
      }
      buffer.read.add(offset, bytes);
      thread.log.push_back({site, record_address(buffer, offset), static_cast<uint8_t>(bytes), AccessRecord::copy});
    } else {
      thread.log.push_back({site, 0, 0, AccessRecord::copy});  // so that those after it meet their like of other lanes
    }
  }
  thread.copies.push_back({at, static_cast<const char*>(from), bytes, width});
  thread.uncommitted++;
}

}  // namespace lorikeet::sim
