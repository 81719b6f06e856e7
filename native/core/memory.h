// Zero-filled, 64-byte aligned host memory with one owner. Large blocks are mapped for themselves, so that freeing one
// gives its pages back at once: malloc would keep them in its heap after a 30 MB weight was replaced by its packed
// copy.
#pragma once

#include <cstddef>
#include <cstdint>

namespace lorikeet {

class Block {
 public:
  Block() = default;
  explicit Block(int64_t bytes);  // throws Error when there is no memory
  ~Block() { release(); }
  Block(Block&& other) noexcept { swap(other); }
  Block& operator=(Block&& other) noexcept {
    swap(other);
    return *this;
  }

  void* data() const { return data_; }
  char* bytes_at(int64_t offset) const { return static_cast<char*>(data_) + offset; }
  int64_t bytes() const { return bytes_; }
  explicit operator bool() const { return data_ != nullptr; }
  void release();

 private:
  void swap(Block& other);
  void* data_ = nullptr;
  int64_t bytes_ = 0;
};

}  // namespace lorikeet
