#include "memory.h"

#include <sys/mman.h>

#include <cstdlib>
#include <cstring>
#include <utility>

#include "error.h"

namespace lorikeet {

constexpr int64_t kMapped = int64_t{1} << 20;
constexpr int64_t kHugePage = int64_t{2} << 20;

Block::Block(int64_t bytes) {
  require(bytes >= 0, "cannot allocate ", bytes, " bytes");
  if (bytes >= kMapped) {
    void* mapped =
        mmap(nullptr, static_cast<size_t>(bytes), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    require(mapped != MAP_FAILED, "cannot allocate ", bytes, " bytes: out of memory");
    // Fewer TLB misses in the matrix products; a refusal does no harm.
    if (bytes >= 2 * kHugePage) madvise(mapped, static_cast<size_t>(bytes), MADV_HUGEPAGE);
    data_ = mapped;
  } else {
    const size_t rounded = (static_cast<size_t>(bytes) + 63) / 64 * 64;
    data_ = std::aligned_alloc(64, rounded == 0 ? 64 : rounded);
    require(data_ != nullptr, "cannot allocate ", bytes, " bytes: out of memory");
    std::memset(data_, 0, rounded);
  }
  bytes_ = bytes;
}

void Block::release() {
  if (data_ == nullptr) return;
  if (bytes_ >= kMapped) {
    munmap(data_, static_cast<size_t>(bytes_));
  } else {
    std::free(data_);
  }
  data_ = nullptr;
  bytes_ = 0;
}

void Block::swap(Block& other) {
  std::swap(data_, other.data_);
  std::swap(bytes_, other.bytes_);
}

}  // namespace lorikeet
