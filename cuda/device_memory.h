// Memory of the card and pinned memory of the host, each with one owner. Every call of the runtime is checked.
#pragma once

#include <cstdint>
#include <string>

#include "runtime.h"

namespace LORIKEET_CUDA {

// Throws Error: what was being done, and what the runtime said.
void check(cudaError_t status, const char* doing);

// What an engine may take of a card's memory.
struct Budget {
  int64_t limit = 0;  // bytes
  int64_t used = 0;
  static Budget*& current() {  // of this thread; set by Context::Use
    static thread_local Budget* budget = nullptr;
    return budget;
  }
};

// At least 256-byte aligned; contents undefined.
class DeviceBlock {
 public:
  DeviceBlock() = default;
  DeviceBlock(const char* what, int64_t bytes);  // throws Error when the card's memory or the budget does not suffice
  ~DeviceBlock();
  DeviceBlock(DeviceBlock&& other) noexcept { swap(other); }
  DeviceBlock& operator=(DeviceBlock&& other) noexcept {
    swap(other);
    return *this;
  }

  void* data() const { return data_; }
  char* bytes_at(int64_t offset) const { return static_cast<char*>(data_) + offset; }
  int64_t bytes() const { return bytes_; }

  // The whole block, or `count` bytes at `offset`; done when the call returns.
  void clear();
  void write(const void* from) { write(from, 0, bytes_); }
  void write(const void* from, int64_t offset, int64_t count);
  void read(void* to, int64_t offset, int64_t count) const;

  // In the emulator: kernels may touch it although it is no operand of theirs.
  void open_to_all();

 private:
  void swap(DeviceBlock& other);
  void* data_ = nullptr;
  int64_t bytes_ = 0;
  Budget* budget_ = nullptr;
};

// Host memory that the card copies from and to without a detour.
class PinnedBlock {
 public:
  PinnedBlock() = default;
  explicit PinnedBlock(int64_t bytes);  // throws Error
  ~PinnedBlock();
  PinnedBlock(PinnedBlock&& other) noexcept { swap(other); }
  PinnedBlock& operator=(PinnedBlock&& other) noexcept {
    swap(other);
    return *this;
  }
  char* bytes_at(int64_t offset) const { return static_cast<char*>(data_) + offset; }
  int64_t bytes() const { return bytes_; }

 private:
  void swap(PinnedBlock& other);
  void* data_ = nullptr;
  int64_t bytes_ = 0;
};

}  // namespace LORIKEET_CUDA
