// A decoded kernel, and a warp that executes it: 32 lanes in lock-step, parted where they branch apart, each part
// waiting at a higher address until the others arrive there (the part at the lowest address runs first).
#pragma once

#include <cstring>
#include <deque>
#include <string>
#include <vector>

#include "cuda/sim/block.h"
#include "module.h"

namespace lorikeet::ptx {

constexpr uint32_t kAllLanes = 0xffffffffu;

enum class Space : uint8_t { generic, global, shared, local, param, constant };

// What addresses in a space look like in generic addressing; global memory and constants are the host's own addresses.
constexpr uint64_t kSharedWindow = 1ull << 56, kLocalWindow = 2ull << 56, kParamWindow = 3ull << 56;

// Where an operand lies in a warp's register file: 32 lanes of 2, 4 or 8 bytes, or one mask for a predicate. Immediate
// values have places too, filled beforehand.
struct Operand {
  uint32_t slot = 0;
  int bytes = 0;       // of a lane; 0 for a predicate
  int64_t offset = 0;  // of an address
};

class Warp;
struct Instruction;
using Operation = void (*)(Warp& warp, const Instruction& instruction);

enum class Flow : uint8_t {
  next,       // goes on with the next instruction
  branch,     // to targets[0]
  table,      // to one of targets, by the value of operands[0]
  finish,     // the lanes end
  // From here on: what is executed once all lanes that it needs have arrived.
  barrier,    // of the block, by all lanes that have not ended
  named,      // by all lanes of the mask in its last operand
  aligned,    // by all 32 lanes
};

struct Instruction {
  Operation run = nullptr;
  Flow flow = Flow::next;
  Space space = Space::generic;
  bool negated = false;
  int64_t predicate = -1;  // slot
  std::vector<Operand> operands;
  std::vector<uint32_t> targets;  // of branches: indices of instructions
  const Statement* statement = nullptr;
};

struct Kernel {
  std::string name;
  Entry entry;  // the instructions point into it
  std::vector<Instruction> code;
  std::vector<char> registers;  // as a warp starts: immediate values in place
  struct Special {
    std::string name;  // "tid.x"
    uint32_t slot;
  };
  std::vector<Special> specials;
  std::vector<std::vector<uint8_t>> constants;  // module variables that the code points to
  struct Parameter {
    size_t offset, bytes;
  };
  std::vector<Parameter> parameters;
  size_t parameter_bytes = 0, static_shared = 0, local_bytes = 0;  // the dynamic shared memory follows the static
};

// A part of global memory.
struct Range {
  std::string name;
  char* data;
  size_t bytes;
  bool writable;

  bool contains(const char* from, size_t count) const { return from >= data && from + count <= data + bytes; }
};

// What all warps of a block have in common.
struct BlockContext {
  const Kernel& kernel;
  dim3 grid, block, index;
  const std::vector<uint8_t>& parameters;
  const std::vector<Range>& memory;
  std::vector<char> shared;
};

class Warp {
 public:
  Warp(BlockContext& block, unsigned first_thread);

  enum State { at_barrier, finished };
  State run();  // throws Error

  template <class T>
  T read(uint32_t slot, int lane) const {
    T value;
    std::memcpy(&value, registers_.data() + slot + lane * sizeof(T), sizeof(T));
    return value;
  }
  template <class T>
  void write(uint32_t slot, int lane, T value) {
    std::memcpy(registers_.data() + slot + lane * sizeof(T), &value, sizeof(T));
  }
  char* registers(uint32_t slot) { return registers_.data() + slot; }
  uint32_t mask(uint32_t slot) const { return read<uint32_t>(slot, 0); }
  void set_mask(uint32_t slot, uint32_t value) { write<uint32_t>(slot, 0, (mask(slot) & ~active) | (value & active)); }
  bool is_active(int lane) const { return active >> lane & 1; }

  // The host's address of `bytes` bytes that an operand points to, for one lane; checked.
  char* locate(const Instruction& instruction, int operand, int lane, size_t bytes, Space space, bool writes);
  [[noreturn]] void fail(const Instruction& instruction, int lane, const std::string& what) const;

  void copy_async(int lane, char* to, const char* from, size_t bytes, size_t width);
  void commit_async(int lane);
  void wait_async(int lane, size_t pending_groups);

  uint32_t active = 0;  // lanes that execute the current instruction

 private:
  // Lanes at one place.
  struct Part {
    uint32_t at, lanes;
  };
  struct Copy {
    char* to;
    const char* from;
    size_t bytes, width;
  };
  struct Copies {
    std::deque<Copy> pending;
    std::deque<size_t> groups;
    size_t uncommitted = 0;
  };

  void place(Part part);
  size_t choose() const;       // the part that runs next
  uint32_t waits_for(const Part& part) const;  // lanes that must be there before its instruction can run
  uint32_t executing(const Part& part) const;  // of its lanes, by the predicate
  void branch(const Part& part, const Instruction& instruction);
  [[noreturn]] void report_stuck() const;

  BlockContext& block_;
  unsigned first_thread_;
  std::vector<char> registers_, local_;
  std::vector<Part> parts_;  // by address, none twice
  uint32_t living_;
  Copies copies_[32];
  const Range* recent_ = nullptr;
};

}  // namespace lorikeet::ptx
