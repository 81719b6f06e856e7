// Global memory as the emulator knows it: named buffers that kernels may touch. Whatever is not registered is out of
// bounds.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "shadow.h"

namespace lorikeet::sim {

enum class Rights { read, read_write };

// Sectors (32 bytes) that kernels touched, each counted once: what must come from or go to DRAM at the least.
class SectorSet {
 public:
  explicit SectorSet(size_t bytes) : sectors_((bytes + 31) / 32) {}
  void add(size_t offset, size_t bytes) {
    if (marks_.empty()) marks_.assign(sectors_, 0);
    for (size_t i = offset / 32; i <= (offset + bytes - 1) / 32; i++) {
      count_ += marks_[i] == 0;
      marks_[i] = 1;
    }
  }
  uint64_t bytes() const { return count_ * 32; }
  void clear() {
    if (count_ != 0) std::vector<uint8_t>().swap(marks_);  // most buffers are not touched again soon
    count_ = 0;
  }

 private:
  size_t sectors_;
  std::vector<uint8_t> marks_;
  uint64_t count_ = 0;
};

struct Buffer {
  // `watched`: races are looked for.
  Buffer(std::string name, void* data, size_t bytes, size_t element_bytes, Rights rights, bool watched);

  std::string name;
  char* data;
  size_t bytes, element_bytes;
  Rights rights;
  bool open = false;  // to every kernel, also within a Machine::Scope
  mutable Shadow shadow;
  mutable SectorSet read, written;  // in the current launch

  bool contains(const void* pointer) const {
    const char* p = static_cast<const char*>(pointer);
    return p >= data && p < data + bytes;
  }
};

class Memory {
 public:
  explicit Memory(bool watched = true) : watched_(watched) {}

  // Buffers must not overlap. Throws std::invalid_argument.
  void add(const std::string& name, void* data, size_t bytes, size_t element_bytes, Rights rights);
  void remove(const void* data);  // nothing happens when there is none
  void open(const void* data);    // throws std::invalid_argument when there is none
  const Buffer* find(const void* pointer) const;  // null when it lies in none
  const std::vector<std::unique_ptr<Buffer>>& buffers() const { return buffers_; }

 private:
  bool watched_;
  std::vector<std::unique_ptr<Buffer>> buffers_;
};

}  // namespace lorikeet::sim
