// Loads and stores, cp.async, addresses, atomics on integers.
#include <algorithm>

#include "operations.h"

namespace lorikeet::ptx {
namespace {

// A value of T in memory, in a register at least as wide.
template <class T, class Register, int kCount>
void load(Warp& warp, const Instruction& instruction) {
  for (int lane = 0; lane < 32; lane++) {
    if (!warp.is_active(lane)) continue;
    const char* from = warp.locate(instruction, kCount, lane, sizeof(T) * kCount, instruction.space, false);
    for (int i = 0; i < kCount; i++) {
      T value;
      std::memcpy(&value, from + i * sizeof(T), sizeof(T));
      warp.write<Register>(instruction.operands[i].slot, lane, static_cast<Register>(value));
    }
  }
}

template <class T, class Register, int kCount>
void store(Warp& warp, const Instruction& instruction) {
  for (int lane = 0; lane < 32; lane++) {
    if (!warp.is_active(lane)) continue;
    char* to = warp.locate(instruction, 0, lane, sizeof(T) * kCount, instruction.space, true);
    for (int i = 0; i < kCount; i++) {
      const T value = static_cast<T>(warp.read<Register>(instruction.operands[i + 1].slot, lane));
      std::memcpy(to + i * sizeof(T), &value, sizeof(T));
    }
  }
}

template <class T, class Register, int kCount>
void add_access(Table& table, const std::string& type) {
  const std::string registers(kCount, letter_of<Register>());
  const std::string vector = kCount == 1 ? "" : "v" + std::to_string(kCount) + ".";
  table.emplace("ld." + vector + type, Overload{registers + "a", &load<T, Register, kCount>});
  table.emplace("st." + vector + type, Overload{"a" + registers, &store<T, Register, kCount>});
}

template <class T, class Register>
void add_accesses(Table& table, const std::string& type) {
  if constexpr (sizeof(Register) >= sizeof(T)) {
    add_access<T, Register, 1>(table, type);
    add_access<T, Register, 2>(table, type);
    if constexpr (sizeof(T) <= 4) add_access<T, Register, 4>(table, type);
  }
}

// operands: to, from, width and, when there are four, how many bytes are read; the rest becomes zero.
template <bool kPartly>
void copy_async(Warp& warp, const Instruction& instruction) {
  const auto& at = instruction.operands;
  for (int lane = 0; lane < 32; lane++) {
    if (!warp.is_active(lane)) continue;
    const uint32_t width = warp.read<uint32_t>(at[2].slot, lane);
    const uint32_t bytes = kPartly ? warp.read<uint32_t>(at[3].slot, lane) : width;
    if (bytes > width) warp.fail(instruction, lane, "copies more than the width of the copy");
    char* to = warp.locate(instruction, 0, lane, width, Space::shared, true);
    // Alignment is asked of the whole width, also when nothing is read; a buffer only for what is read.
    const uint64_t address = warp.read<uint64_t>(at[1].slot, lane) + static_cast<uint64_t>(at[1].offset);
    if (address % width != 0) warp.fail(instruction, lane, "copies from an address that is not aligned");
    const char* from = nullptr;
    if (bytes > 0) {
      from = warp.locate(instruction, 1, lane, 1, Space::global, false);
      Instruction last = instruction;
      last.operands[1].offset += bytes - 1;
      warp.locate(last, 1, lane, 1, Space::global, false);
    }
    warp.copy_async(lane, to, from, bytes, width);
  }
}

void commit_async(Warp& warp, const Instruction&) {
  for (int lane = 0; lane < 32; lane++) {
    if (warp.is_active(lane)) warp.commit_async(lane);
  }
}

template <bool kAll>
void wait_async(Warp& warp, const Instruction& instruction) {
  for (int lane = 0; lane < 32; lane++) {
    if (!warp.is_active(lane)) continue;
    if (kAll) warp.commit_async(lane);
    warp.wait_async(lane, kAll ? 0 : warp.read<uint32_t>(instruction.operands[0].slot, lane));
  }
}

// Between generic addresses and those of a space.
template <uint64_t kWindow, bool kToGeneric, class T>
struct Translate {
  T operator()(T address) const { return static_cast<T>(kToGeneric ? address + kWindow : address - kWindow); }
};

template <uint64_t kWindow>
void add_translations(Table& table, const std::string& space) {
  add_lanes<Translate<kWindow, true, uint64_t>, uint64_t, uint64_t>(table, "cvta." + space + ".u64");
  add_lanes<Translate<kWindow, false, uint64_t>, uint64_t, uint64_t>(table, "cvta.to." + space + ".u64");
}

struct Added {
  template <class T>
  T operator()(T before, T value, T) const {
    return static_cast<T>(static_cast<uint64_t>(before) + static_cast<uint64_t>(value));
  }
};
struct Least {
  template <class T>
  T operator()(T before, T value, T) const {
    return std::min(before, value);
  }
};
struct Greatest {
  template <class T>
  T operator()(T before, T value, T) const {
    return std::max(before, value);
  }
};
struct Exchanged {
  template <class T>
  T operator()(T, T value, T) const {
    return value;
  }
};
struct Swapped {
  template <class T>
  T operator()(T before, T expected, T value) const {
    return before == expected ? value : before;
  }
};

// Lane after lane. kResult: atom, which gives the value before; else red.
template <class F, class T, bool kResult, int kValues>
void update(Warp& warp, const Instruction& instruction) {
  constexpr int kAddress = kResult ? 1 : 0;
  for (int lane = 0; lane < 32; lane++) {
    if (!warp.is_active(lane)) continue;
    char* at = warp.locate(instruction, kAddress, lane, sizeof(T), instruction.space, true);
    T before, values[2] = {};
    std::memcpy(&before, at, sizeof(T));
    for (int i = 0; i < kValues; i++) {
      values[i] = warp.read<T>(instruction.operands[kAddress + 1 + i].slot, lane);
    }
    const T after = F()(before, values[0], values[1]);
    std::memcpy(at, &after, sizeof(T));
    if (kResult) warp.write<T>(instruction.operands[0].slot, lane, before);
  }
}

template <class F, class T, int kValues = 1>
void add_update(Table& table, const std::string& name) {
  const char letter = letter_of<T>();
  const std::string values(kValues, letter);
  table.emplace("atom." + name, Overload{letter + ("a" + values), &update<F, T, true, kValues>});
  table.emplace("red." + name, Overload{"a" + values, &update<F, T, false, kValues>});
}

}  // namespace

void add_memory_operations(Table& table) {
  const auto accesses = [&](auto zero, const std::string& type) {
    using T = decltype(zero);
    add_accesses<T, uint16_t>(table, type);
    add_accesses<T, uint32_t>(table, type);
    add_accesses<T, uint64_t>(table, type);
  };
  for_integers(accesses), for_bits(accesses);
  accesses(uint8_t(), "u8"), accesses(int8_t(), "s8"), accesses(uint8_t(), "b8");
  add_accesses<uint32_t, uint32_t>(table, "f32");
  add_accesses<uint64_t, uint64_t>(table, "f64");

  for (const std::string kind : {"cp.async.cg.shared.global", "cp.async.ca.shared.global"}) {
    table.emplace(kind, Overload{"aaww", &copy_async<true>});
    table.emplace(kind, Overload{"aaw", &copy_async<false>});
  }
  table.emplace("cp.async.commit_group", Overload{"", &commit_async});
  table.emplace("cp.async.wait_group", Overload{"w", &wait_async<false>});
  table.emplace("cp.async.wait_all", Overload{"", &wait_async<true>});

  add_translations<0>(table, "global");
  add_translations<0>(table, "const");
  add_translations<kSharedWindow>(table, "shared");
  add_translations<kLocalWindow>(table, "local");
  add_translations<kParamWindow>(table, "param");

  for_integers([&](auto zero, const std::string& type) {
    using T = decltype(zero);
    if constexpr (sizeof(T) > 2) {
      add_update<Added, T>(table, "add." + type);
      add_update<Least, T>(table, "min." + type);
      add_update<Greatest, T>(table, "max." + type);
    }
  });
  for_bits([&](auto zero, const std::string& type) {
    using T = decltype(zero);
    add_update<Exchanged, T>(table, "exch." + type);
    add_update<Swapped, T, 2>(table, "cas." + type);
  });
  // Blocks and warps run one after the other: memory is always in order.
  for (const std::string kind : {"fence.acq_rel.gpu", "fence.acq_rel.cta", "fence.sc.gpu", "membar.gl", "membar.cta"}) {
    table.emplace(kind, Overload{"", nullptr});
  }
}

}  // namespace lorikeet::ptx
