#include "residency.h"

#include <algorithm>

#include "dequantise.h"
#include "op.h"

namespace LORIKEET_CUDA {

static int64_t aligned_up(int64_t bytes) { return (bytes + 255) / 256 * 256; }

Residency::Residency(const Program& program, const DeviceWeights& weights, const TakesStored& takes_stored) {
  for (size_t i = 0; i < program.instructions.size(); i++) {
    Use use;
    use.instruction = i;
    int64_t opened = 0;
    const std::vector<int>& inputs = program.instructions[i].inputs;
    for (size_t operand = 0; operand < inputs.size(); operand++) {
      const int index = inputs[operand];
      if (index == kNoTensor || program.tensors[index].space != Space::weight) continue;
      const WeightSpec& spec = weights.spec(program.tensors[index].name);
      const bool opens = spec.storage != Storage::plain && !takes_stored(i, operand);
      const bool known = std::any_of(use.parts.begin(), use.parts.end(),
                                     [&](const Part& part) { return part.name == spec.name; });
      if ((!opens && !spec.on_host) || known) continue;
      Part part{spec.name, spec.storage, spec.dtype, spec.shape, opens, spec.on_host, spec.stored_bytes()};
      if (part.travels) {
        part.in_ring = use.bytes;
        use.bytes += aligned_up(part.bytes);
      }
      if (opens) {
        part.in_opened = opened;
        opened += aligned_up(spec.bytes());
      }
      use.parts.push_back(std::move(part));
    }
    if (use.parts.empty()) continue;
    opened_bytes_ = std::max(opened_bytes_, opened);
    if (use.bytes > 0) travelling_.push_back(static_cast<int>(uses_.size()));
    uses_.push_back(std::move(use));
  }
  place_in_ring();
}

// Three times the most that one instruction wants: it reads its own while the next ones arrive.
void Residency::place_in_ring() {
  for (const int k : travelling_) ring_bytes_ = std::max(ring_bytes_, 3 * uses_[k].bytes);
  int64_t head = 0;
  for (size_t k = 0; k < travelling_.size(); k++) {
    Use& use = uses_[travelling_[k]];
    if (head + use.bytes > ring_bytes_) head = 0;
    use.at = head;
    head += use.bytes;
    for (size_t before = k; before-- > 0 && use.last_reader < 0;) {
      const Use& other = uses_[travelling_[before]];
      if (other.at < head && use.at < other.at + other.bytes) use.last_reader = travelling_[before];
    }
    use.arrived.emplace_back();
  }
  if (travelling_.empty()) return;
  begun_.emplace_back();
  freed_.emplace_back();
}

Residency::Use* Residency::find(size_t instruction) {
  const auto found = std::lower_bound(uses_.begin(), uses_.end(), instruction,
                                      [](const Use& use, size_t wanted) { return use.instruction < wanted; });
  return found != uses_.end() && found->instruction == instruction ? &*found : nullptr;
}

void Residency::bind(const DeviceWeights& weights, const DeviceBlock& ring, const DeviceBlock& opened) {
  for (Use& use : uses_) {
    for (Part& part : use.parts) {
      part.from = part.travels ? weights.address(part.name) : nullptr;
      part.stored = part.travels ? ring.bytes_at(use.at + part.in_ring) : weights.address(part.name);
      part.opened = part.opens ? opened.bytes_at(part.in_opened) : nullptr;
    }
  }
}

void* Residency::address(size_t instruction, const std::string& weight) const {
  const Use* use = find(instruction);
  if (!use) return nullptr;
  for (const Part& part : use->parts) {
    if (part.name == weight) return part.opened ? part.opened : part.stored;
  }
  return nullptr;
}

void Residency::begin(Stream compute, Stream copies) {
  next_ = 0;
  if (travelling_.empty()) return;
  begun_[0].record(compute);
  begun_[0].hold_back(copies);
  fetch_next(-1, copies);
}

// Everything whose place is free once the use `done` is.
void Residency::fetch_next(int done, Stream copies) {
  for (; next_ < travelling_.size() && uses_[travelling_[next_]].last_reader <= done; next_++) {
    Use& use = uses_[travelling_[next_]];
    for (const Part& part : use.parts) {
      if (!part.travels) continue;
      check(cudaMemcpyAsync(part.stored, part.from, static_cast<size_t>(part.bytes), cudaMemcpyHostToDevice, copies),
            "fetching a weight from the host");
    }
    use.arrived[0].record(copies);
  }
}

void Residency::before(size_t instruction, Stream compute) {
  const Use* use = find(instruction);
  if (!use) return;
  if (use->bytes > 0) use->arrived[0].hold_back(compute);
  for (const Part& part : use->parts) {
    if (!part.opens) continue;
    by_dtype(part.dtype, [&](auto zero) {
      using T = decltype(zero);
      launch_dequantise<T>(part.stored, part.storage, part.shape, static_cast<T*>(part.opened), compute);
    });
  }
}

void Residency::after(size_t instruction, Stream compute, Stream copies) {
  const Use* use = find(instruction);
  if (!use || use->bytes == 0 || next_ == travelling_.size()) return;
  const int done = static_cast<int>(use - uses_.data());
  if (uses_[travelling_[next_]].last_reader > done) return;
  freed_[0].record(compute);
  freed_[0].hold_back(copies);
  fetch_next(done, copies);
}

}  // namespace LORIKEET_CUDA
