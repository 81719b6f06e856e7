#include "warp.h"

#include <algorithm>

namespace lorikeet::ptx {
namespace {

std::string place_of(const dim3& index) {
  return std::to_string(index.x) + "," + std::to_string(index.y) + "," + std::to_string(index.z);
}

}  // namespace

Warp::Warp(BlockContext& block, unsigned first_thread)
    : block_(block), first_thread_(first_thread), registers_(block.kernel.registers) {
  const unsigned threads = block.block.count() - first_thread;
  living_ = threads >= 32 ? kAllLanes : (1u << threads) - 1;
  parts_.push_back({0, living_});
  local_.resize(block.kernel.local_bytes * 32);
  for (const Kernel::Special& special : block.kernel.specials) {
    for (int lane = 0; lane < 32; lane++) {
      const unsigned linear = first_thread + lane, x = block.block.x, y = block.block.y;
      const std::string& name = special.name;
      const auto of = [&](const dim3& value) {
        return name.back() == 'x' ? value.x : name.back() == 'y' ? value.y : value.z;
      };
      const std::string group = name.substr(0, name.find('.'));
      const unsigned value = group == "tid"      ? of(dim3(linear % x, linear / x % y, linear / x / y))
                             : group == "ntid"   ? of(block.block)
                             : group == "ctaid"  ? of(block.index)
                             : group == "nctaid" ? of(block.grid)
                             : group == "laneid" ? static_cast<unsigned>(lane)
                                                 : throw Error("PTX: special register %" + name + " is not known");
      write<uint32_t>(special.slot, lane, value);
    }
  }
}

Warp::State Warp::run() {
  const std::vector<Instruction>& code = block_.kernel.code;
  while (!parts_.empty()) {
    const size_t chosen = parts_.size() == 1 && code[parts_[0].at].flow < Flow::barrier ? 0 : choose();
    Part part = parts_[chosen];
    const Instruction& instruction = code[part.at];
    active = executing(part);
    if (instruction.run != nullptr && active != 0) instruction.run(*this, instruction);
    if (parts_.size() == 1 && instruction.flow == Flow::next) {
      parts_[0].at++;
      continue;
    }
    parts_.erase(parts_.begin() + chosen);
    branch(part, instruction);
    if (instruction.flow == Flow::barrier && active != 0) return at_barrier;
  }
  return finished;
}

// Moves the lanes of a part, which has been taken out, on.
void Warp::branch(const Part& part, const Instruction& instruction) {
  uint32_t stay = part.lanes;
  if (instruction.flow == Flow::branch) {
    stay &= ~active;
    if (active != 0) place({instruction.targets[0], active});
  } else if (instruction.flow == Flow::table) {
    stay &= ~active;
    for (int lane = 0; lane < 32; lane++) {
      if (!is_active(lane)) continue;
      const uint32_t index = read<uint32_t>(instruction.operands[0].slot, lane);
      if (index >= instruction.targets.size()) fail(instruction, lane, "jumps beyond its table");
      place({instruction.targets[index], 1u << lane});
    }
  } else if (instruction.flow == Flow::finish) {
    stay &= ~active;
    living_ &= ~active;
  }
  if (stay != 0) place({part.at + 1, stay});
}

void Warp::place(Part part) {
  const auto at = std::lower_bound(parts_.begin(), parts_.end(), part,
                                   [](const Part& a, const Part& b) { return a.at < b.at; });
  if (at != parts_.end() && at->at == part.at) {
    at->lanes |= part.lanes;
  } else {
    parts_.insert(at, part);
  }
}

uint32_t Warp::executing(const Part& part) const {
  const Instruction& instruction = block_.kernel.code[part.at];
  if (instruction.predicate < 0) return part.lanes;
  const uint32_t set = mask(static_cast<uint32_t>(instruction.predicate));
  return part.lanes & (instruction.negated ? ~set : set);
}

uint32_t Warp::waits_for(const Part& part) const {
  const Instruction& instruction = block_.kernel.code[part.at];
  if (executing(part) == 0) return 0;
  switch (instruction.flow) {
    case Flow::barrier: return living_;
    case Flow::aligned: return kAllLanes;
    case Flow::named: break;
    default: return 0;
  }
  uint32_t named = 0;
  for (int lane = 0; lane < 32; lane++) {
    if (executing(part) >> lane & 1) named |= read<uint32_t>(instruction.operands.back().slot, lane);
  }
  return named;
}

size_t Warp::choose() const {
  for (size_t i = 0; i < parts_.size(); i++) {
    if ((waits_for(parts_[i]) & ~executing(parts_[i])) == 0) return i;
  }
  report_stuck();
}

void Warp::report_stuck() const {
  const Part& part = parts_[0];
  const uint32_t missing = waits_for(part) & ~executing(part);
  fail(block_.kernel.code[part.at], __builtin_ctz(executing(part)),
       "waits for " + std::to_string(__builtin_popcount(missing)) + " lanes that never arrive, lane " +
           std::to_string(__builtin_ctz(missing)) + " for one");
}

void Warp::fail(const Instruction& instruction, int lane, const std::string& what) const {
  const unsigned thread = first_thread_ + static_cast<unsigned>(lane);
  throw Error("block " + place_of(block_.index) + ", thread " + std::to_string(thread) + " " + what + " (PTX line " +
              std::to_string(instruction.statement->line) + ": " + instruction.statement->text + ")");
}

char* Warp::locate(const Instruction& instruction, int operand, int lane, size_t bytes, Space space, bool writes) {
  const Operand& at = instruction.operands[operand];
  uint64_t address = at.bytes == 4 ? read<uint32_t>(at.slot, lane) : read<uint64_t>(at.slot, lane);
  address += static_cast<uint64_t>(at.offset);
  if (at.bytes == 4) address &= 0xffffffffu;
  if (space == Space::generic) {
    const uint64_t window = address & (0xffull << 56);
    space = window == kSharedWindow  ? Space::shared
            : window == kLocalWindow ? Space::local
            : window == kParamWindow ? Space::param
                                     : Space::global;
    if (space != Space::global) address -= window;
  }
  if (address % bytes != 0) {
    fail(instruction, lane, "touches an address that is no multiple of " + std::to_string(bytes));
  }
  const auto within = [&](char* memory, size_t size) {
    if (address <= size && bytes <= size - address) return memory + address;
    fail(instruction, lane,
         "touches " + std::to_string(bytes) + " bytes at " + std::to_string(address) + " of " + std::to_string(size));
  };
  switch (space) {
    case Space::shared: return within(block_.shared.data(), block_.shared.size());
    case Space::local: return within(local_.data() + lane * block_.kernel.local_bytes, block_.kernel.local_bytes);
    case Space::param:
      if (writes) fail(instruction, lane, "writes to parameters, as for a call, which is not known");
      return within(const_cast<char*>(reinterpret_cast<const char*>(block_.parameters.data())),
                    block_.parameters.size());
    default: break;
  }
  char* const pointer = reinterpret_cast<char*>(address);
  if (recent_ == nullptr || !recent_->contains(pointer, bytes)) {
    recent_ = nullptr;
    for (const Range& range : block_.memory) {
      if (range.contains(pointer, bytes)) recent_ = &range;
    }
  }
  if (recent_ != nullptr) {
    if (writes && !recent_->writable) {
      fail(instruction, lane, "writes to '" + recent_->name + "', which may only be read");
    }
    return pointer;
  }
  for (const std::vector<uint8_t>& constant : block_.kernel.constants) {
    const char* data = reinterpret_cast<const char*>(constant.data());
    if (!writes && pointer >= data && pointer + bytes <= data + constant.size()) return pointer;
  }
  for (const Range& range : block_.memory) {
    if (range.contains(pointer, 1)) fail(instruction, lane, "goes beyond the end of '" + range.name + "'");
  }
  fail(instruction, lane, "touches memory of no buffer");
}

// The bytes move when the thread waits for them, as late as the hardware may; until then there is NaN.
void Warp::copy_async(int lane, char* to, const char* from, size_t bytes, size_t width) {
  std::memset(to, 0xff, width);
  copies_[lane].pending.push_back({to, from, bytes, width});
  copies_[lane].uncommitted++;
}

void Warp::commit_async(int lane) {
  copies_[lane].groups.push_back(copies_[lane].uncommitted);
  copies_[lane].uncommitted = 0;
}

void Warp::wait_async(int lane, size_t pending_groups) {
  Copies& copies = copies_[lane];
  while (copies.groups.size() > pending_groups) {
    for (size_t i = 0; i < copies.groups.front(); i++) {
      const Copy copy = copies.pending.front();
      if (copy.bytes > 0) std::memcpy(copy.to, copy.from, copy.bytes);
      std::memset(copy.to + copy.bytes, 0, copy.width - copy.bytes);
      copies.pending.pop_front();
    }
    copies.groups.pop_front();
  }
}

}  // namespace lorikeet::ptx
