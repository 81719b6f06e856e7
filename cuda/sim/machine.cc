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

// Blocks that stand for a whole launch in sampled mode: spread evenly over the grid.
constexpr uint64_t kSample = 3;

void Machine::emulate(const KernelCall& call, Mode mode) {
  const LaunchShape& shape = call.shape;
  const std::vector<const Buffer*> touched = buffers();
  for (const Buffer* buffer : touched) {
    buffer->read.clear();
    buffer->written.clear();
  }
  Counters counters;
  Block block(call.name, shape, mode != Mode::fast, epoch_, counters, call.body, call.argument);
  const uint64_t blocks = static_cast<uint64_t>(shape.grid.x) * shape.grid.y * shape.grid.z;
  const uint64_t running = mode == Mode::sampled ? std::min(blocks, kSample) : blocks;
  for (uint64_t i = 0; i < running; i++) {
    const uint64_t at = running == blocks ? i : (2 * i + 1) * blocks / (2 * running);
    const uint64_t plane = static_cast<uint64_t>(shape.grid.x) * shape.grid.y;
    block.run(dim3(static_cast<unsigned>(at % shape.grid.x), static_cast<unsigned>(at / shape.grid.x % shape.grid.y),
                   static_cast<unsigned>(at / plane)));
  }
  const double factor = running == 0 ? 1 : static_cast<double>(blocks) / static_cast<double>(running);
  counters.scale(factor);
  const auto all = [&](const Buffer& buffer, const SectorSet& set) {
    return std::min(static_cast<uint64_t>(static_cast<double>(set.bytes()) * factor), (buffer.bytes + 31) / 32 * 32);
  };
  for (const Buffer* buffer : touched) {
    counters.dram_read_bytes += all(*buffer, buffer->read);
    counters.dram_written_bytes += all(*buffer, buffer->written);
    buffer->read.clear();
    buffer->written.clear();
  }
  counters.launches = 1;
  counters.blocks = blocks;
  counters.threads = shape.block.count();
  counters.shared_bytes = shape.shared_bytes;
  if (mode != Mode::fast) microseconds_ += roofline(counters, card_).microseconds;
  counters_[call.name].add(counters);
}

}  // namespace lorikeet::sim
