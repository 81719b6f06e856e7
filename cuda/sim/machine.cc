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

std::vector<const Buffer*> Machine::buffers() const {
  std::vector<const Buffer*> result;
  for (const auto& buffer : memory_.buffers()) {
    if (!scope_ || buffer->open) result.push_back(buffer.get());
  }
  if (scope_) {
    for (const auto& buffer : scope_->buffers()) result.push_back(buffer.get());
  }
  return result;
}

void Machine::launch(const KernelCall& call) {
  if (on_launch != nullptr) {
    on_launch(*this, call);
  } else {
    emulate(call, mode_);
  }
}

void Machine::emulate(const KernelCall& call, Mode mode) {
  const LaunchShape& shape = call.shape;
  Counters& counters = counters_[call.name];
  counters.launches++;
  counters.threads = shape.block.count();
  counters.shared_bytes = std::max<uint64_t>(counters.shared_bytes, shape.shared_bytes);
  const std::vector<const Buffer*> touched = buffers();
  for (const Buffer* buffer : touched) {
    buffer->read.clear();
    buffer->written.clear();
  }
  Block block(call.name, shape, mode == Mode::strict, epoch_, counters, call.body, call.argument);
  for (unsigned z = 0; z < shape.grid.z; z++) {
    for (unsigned y = 0; y < shape.grid.y; y++) {
      for (unsigned x = 0; x < shape.grid.x; x++) block.run(dim3(x, y, z));
    }
  }
  for (const Buffer* buffer : touched) {
    counters.dram_read_bytes += buffer->read.bytes();
    counters.dram_written_bytes += buffer->written.bytes();
  }
}

}  // namespace lorikeet::sim
