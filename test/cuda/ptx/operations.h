// What every opcode does, by name. One that is not in the table is not known, whatever it resembles.
#pragma once

#include <array>
#include <string>
#include <tuple>
#include <unordered_map>
#include <utility>

#include "warp.h"

namespace lorikeet::ptx {

// Operands, one letter each: registers or values of 16 (h), 32 (w) and 64 (d) bits, predicates (p), addresses (a),
// labels (t), the digit 0 (0). An opcode may stand in the table more than once, with different operands.
struct Overload {
  std::string operands;
  Operation run;
  Flow flow = Flow::next;
};
using Table = std::unordered_multimap<std::string, Overload>;

const Table& operations();

// Each adds its part of the table.
void add_integer_operations(Table& table);
void add_bit_operations(Table& table);
void add_float_operations(Table& table);
void add_conversions(Table& table);
void add_comparisons(Table& table);
void add_memory_operations(Table& table);
void add_warp_operations(Table& table);

template <class T>
constexpr char letter_of() {
  return sizeof(T) == 2 ? 'h' : sizeof(T) == 4 ? 'w' : 'd';
}

// operands[0] = F(operands[1], ...) in every active lane. F must bear whatever inactive lanes hold.
template <class F, class To, class... From, size_t... kIndex>
void run_lanes(Warp& warp, const Instruction& instruction, std::index_sequence<kIndex...>) {
  const std::tuple<std::array<From, 32>...> from = [&] {
    std::tuple<std::array<From, 32>...> values;
    (std::memcpy(std::get<kIndex>(values).data(), warp.registers(instruction.operands[kIndex + 1].slot),
                 32 * sizeof(From)),
     ...);
    return values;
  }();
  To to[32];
  const F function;
  for (int lane = 0; lane < 32; lane++) to[lane] = static_cast<To>(function(std::get<kIndex>(from)[lane]...));
  const uint32_t slot = instruction.operands[0].slot;
  if (warp.active == kAllLanes) {
    std::memcpy(warp.registers(slot), to, sizeof to);
    return;
  }
  for (int lane = 0; lane < 32; lane++) {
    if (warp.is_active(lane)) warp.write<To>(slot, lane, to[lane]);
  }
}

template <class F, class To, class... From>
void lanes(Warp& warp, const Instruction& instruction) {
  run_lanes<F, To, From...>(warp, instruction, std::index_sequence_for<From...>());
}

template <class F, class To, class... From>
void add_lanes(Table& table, const std::string& opcode) {
  table.emplace(opcode, Overload{{letter_of<To>(), letter_of<From>()...}, &lanes<F, To, From...>});
}

// For each of the types, with its name in PTX: call.operator()<T>("u32").
template <class Call>
void for_integers(const Call& call) {
  call(uint16_t(), "u16"), call(int16_t(), "s16");
  call(uint32_t(), "u32"), call(int32_t(), "s32");
  call(uint64_t(), "u64"), call(int64_t(), "s64");
}
template <class Call>
void for_bits(const Call& call) {
  call(uint16_t(), "b16"), call(uint32_t(), "b32"), call(uint64_t(), "b64");
}

}  // namespace lorikeet::ptx
