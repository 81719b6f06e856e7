// What a kernel can do wrong, and the exception that says so. A launch stops at its first fault.
#pragma once

#include <cstdint>
#include <stdexcept>
#include <string>

namespace lorikeet::sim {

// A place in the sources in eight bytes, since every access carries one: the address of the file's name, and the line.
// Compares equal for equal places only within one translation unit, which is all that a kernel needs.
class Site {
 public:
  Site() = default;
  Site(const char* file, int line)
      : bits_(reinterpret_cast<uintptr_t>(file) << 16 | static_cast<uint64_t>(line & 0xffff)) {}
  int line() const { return static_cast<int>(bits_ & 0xffff); }
  const char* file() const { return reinterpret_cast<const char*>(bits_ >> 16); }
  std::string text() const;  // "layer_norm.cu:41"
  bool operator==(Site other) const { return bits_ == other.bits_; }
  bool operator!=(Site other) const { return bits_ != other.bits_; }
  bool operator<(Site other) const { return bits_ < other.bits_; }

 private:
  uint64_t bits_ = 0;
};

enum class FaultKind {
  launch,                 // a shape that no card of ours can start
  bounds,                 // outside the buffer or shared array
  read_only,              // a write through a pointer to something that may only be read
  misaligned,             // an access of n bytes at an address that is no multiple of n
  uninitialised,          // shared memory that no thread of this block has written
  race,                   // two threads, one of them writing, nothing that orders them
  async_copy,             // the target of a cp.async touched before the thread that issued it has waited
  barrier_divergence,     // __syncthreads that not all threads of the block reach at the same place
  collective_divergence,  // a warp operation that not all lanes of its mask reach
};

const char* name_of(FaultKind kind);

struct Fault : std::runtime_error {
  Fault(FaultKind kind, const std::string& message, Site site)
      : std::runtime_error(message), kind(kind), site(site) {}
  FaultKind kind;
  Site site;
};

}  // namespace lorikeet::sim
