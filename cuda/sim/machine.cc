#include "machine.h"

#include <algorithm>

namespace lorikeet::sim {

Machine& Machine::current() {
  if (current_ == nullptr) throw std::logic_error("no emulated machine is in use on this thread");
  return *current_;
}

const Buffer* Machine::buffer_of(const void* pointer) const {
  if (mode_ == Mode::fast) return nullptr;
  if (pointer == nullptr) return &nothing_;
  if (scope_) {
    if (const Buffer* buffer = scope_->find(pointer)) return buffer;
  }
  const Buffer* buffer = memory_.find(pointer);
  if (buffer && (!scope_ || buffer->open)) return buffer;
  throw Fault(FaultKind::bounds, "a pointer handed to a kernel leads into no buffer", Site());
}

void Machine::launch(const char* kernel, const LaunchShape& shape, void (*body)(void*), void* argument) {
  Counters& counters = counters_[kernel];
  counters.launches++;
  counters.threads = shape.block.count();
  counters.shared_bytes = std::max<uint64_t>(counters.shared_bytes, shape.shared_bytes);
  std::vector<const Buffer*> buffers;
  for (const auto& buffer : memory_.buffers()) buffers.push_back(buffer.get());
  if (scope_) {
    for (const auto& buffer : scope_->buffers()) buffers.push_back(buffer.get());
  }
  for (const Buffer* buffer : buffers) {
    buffer->read.clear();
    buffer->written.clear();
  }
  Block block(kernel, shape, mode_ == Mode::strict, epoch_, counters, body, argument);
  for (unsigned z = 0; z < shape.grid.z; z++) {
    for (unsigned y = 0; y < shape.grid.y; y++) {
      for (unsigned x = 0; x < shape.grid.x; x++) block.run(dim3(x, y, z));
    }
  }
  for (const Buffer* buffer : buffers) {
    counters.dram_read_bytes += buffer->read.bytes();
    counters.dram_written_bytes += buffer->written.bytes();
  }
}

}  // namespace lorikeet::sim
