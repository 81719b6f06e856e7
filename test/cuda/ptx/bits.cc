// Bits, and moving them about.
#include <type_traits>

#include "operations.h"

namespace lorikeet::ptx {
namespace {

struct Same {
  template <class T>
  T operator()(T a) const {
    return a;
  }
};
struct And {
  template <class T>
  T operator()(T a, T b) const {
    return a & b;
  }
};
struct Or {
  template <class T>
  T operator()(T a, T b) const {
    return a | b;
  }
};
struct Xor {
  template <class T>
  T operator()(T a, T b) const {
    return a ^ b;
  }
};
struct Not {
  template <class T>
  T operator()(T a) const {
    return static_cast<T>(~a);
  }
};
// Shifts by as much as there are bits, or more, leave nothing, or the sign.
struct ShiftLeft {
  template <class T>
  T operator()(T a, uint32_t by) const {
    return by < 8 * sizeof(T) ? static_cast<T>(static_cast<uint64_t>(a) << by) : T(0);
  }
};
struct ShiftRight {
  template <class T>
  T operator()(T a, uint32_t by) const {
    return by < 8 * sizeof(T) ? static_cast<T>(a >> by) : static_cast<T>(a < 0 ? -1 : 0);
  }
};
// shf: two registers side by side; the amount is taken modulo 32.
struct FunnelLeft {
  uint32_t operator()(uint32_t low, uint32_t high, uint32_t by) const {
    return static_cast<uint32_t>((static_cast<uint64_t>(high) << 32 | low) << (by & 31) >> 32);
  }
};
struct FunnelRight {
  uint32_t operator()(uint32_t low, uint32_t high, uint32_t by) const {
    return static_cast<uint32_t>((static_cast<uint64_t>(high) << 32 | low) >> (by & 31));
  }
};
struct CountOnes {
  template <class T>
  uint32_t operator()(T a) const {
    return static_cast<uint32_t>(__builtin_popcountll(a));
  }
};
struct CountLeadingZeros {
  template <class T>
  uint32_t operator()(T a) const {
    return a == 0 ? 8 * sizeof(T) : static_cast<uint32_t>(__builtin_clzll(a)) - (64 - 8 * sizeof(T));
  }
};
struct Reverse {
  uint32_t operator()(uint32_t a) const {
    uint32_t result = 0;
    for (int i = 0; i < 32; i++) result |= (a >> i & 1) << (31 - i);
    return result;
  }
};
// bfe: `count` bits from bit `from` on, of signed types with the sign of the topmost.
struct ExtractField {
  template <class T>
  T operator()(T a, uint32_t from, uint32_t count) const {
    constexpr uint32_t kBits = 8 * sizeof(T);
    from &= 255, count &= 255;
    if (count == 0) return 0;
    const uint32_t last = from + count - 1 < kBits - 1 ? from + count - 1 : kBits - 1;
    const bool sign = std::is_signed_v<T> && (static_cast<uint64_t>(a) >> last & 1);
    T result = 0;
    for (uint32_t i = 0; i < kBits; i++) {
      const bool bit = i < count && from + i < kBits ? static_cast<uint64_t>(a) >> (from + i) & 1 : sign;
      result = static_cast<T>(static_cast<uint64_t>(result) | static_cast<uint64_t>(bit) << i);
    }
    return result;
  }
};
// bfi: the low bits of a over those of b.
struct InsertField {
  template <class T>
  T operator()(T a, T b, uint32_t from, uint32_t count) const {
    from &= 255, count &= 255;
    for (uint32_t i = 0; i < count && from + i < 8 * sizeof(T); i++) {
      b = static_cast<T>((b & ~(T(1) << (from + i))) | (a >> i & 1) << (from + i));
    }
    return b;
  }
};
// prmt: each of four selectors takes one of the eight bytes of a and b, or its sign in all bits.
struct Permute {
  uint32_t operator()(uint32_t a, uint32_t b, uint32_t selectors) const {
    const uint64_t bytes = static_cast<uint64_t>(b) << 32 | a;
    uint32_t result = 0;
    for (int i = 0; i < 4; i++) {
      const uint32_t selector = selectors >> (4 * i) & 15;
      uint32_t byte = static_cast<uint32_t>(bytes >> (8 * (selector & 7))) & 255;
      if (selector & 8) byte = byte & 128 ? 255 : 0;
      result |= byte << (8 * i);
    }
    return result;
  }
};
// lop3: bit i of the table is the result for a, b, c = the bits of i from the top.
struct Lookup {
  uint32_t operator()(uint32_t a, uint32_t b, uint32_t c, uint32_t table) const {
    uint32_t result = 0;
    for (uint32_t i = 0; i < 8; i++) {
      if (table >> i & 1) result |= (i & 4 ? a : ~a) & (i & 2 ? b : ~b) & (i & 1 ? c : ~c);
    }
    return result;
  }
};

// Predicates are masks: one operation for all lanes.
template <class F, int kInputs>
void on_masks(Warp& warp, const Instruction& instruction) {
  const auto& at = instruction.operands;
  if constexpr (kInputs == 1) {
    warp.set_mask(at[0].slot, F()(warp.mask(at[1].slot)));
  } else {
    warp.set_mask(at[0].slot, F()(warp.mask(at[1].slot), warp.mask(at[2].slot)));
  }
}

template <class T>
void select(Warp& warp, const Instruction& instruction) {
  const auto& at = instruction.operands;
  const uint32_t first = warp.mask(at[3].slot);
  for (int lane = 0; lane < 32; lane++) {
    if (warp.is_active(lane)) warp.write<T>(at[0].slot, lane, warp.read<T>(at[first >> lane & 1 ? 1 : 2].slot, lane));
  }
}

// {low, high} = whole, and back.
template <class Whole, class Half>
void part(Warp& warp, const Instruction& instruction) {
  constexpr int kParts = sizeof(Whole) / sizeof(Half);
  for (int lane = 0; lane < 32; lane++) {
    if (!warp.is_active(lane)) continue;
    const Whole whole = warp.read<Whole>(instruction.operands[kParts].slot, lane);
    for (int i = 0; i < kParts; i++) {
      warp.write<Half>(instruction.operands[i].slot, lane, static_cast<Half>(whole >> (8 * sizeof(Half) * i)));
    }
  }
}
template <class Whole, class Half>
void join(Warp& warp, const Instruction& instruction) {
  constexpr int kParts = sizeof(Whole) / sizeof(Half);
  for (int lane = 0; lane < 32; lane++) {
    if (!warp.is_active(lane)) continue;
    Whole whole = 0;
    for (int i = 0; i < kParts; i++) {
      whole |= static_cast<Whole>(warp.read<Half>(instruction.operands[i + 1].slot, lane)) << (8 * sizeof(Half) * i);
    }
    warp.write<Whole>(instruction.operands[0].slot, lane, whole);
  }
}

}  // namespace

void add_bit_operations(Table& table) {
  const auto moves = [&](auto zero, const std::string& type) {
    using T = decltype(zero);
    add_lanes<Same, T, T>(table, "mov." + type);
    table.emplace("selp." + type, Overload{{letter_of<T>(), letter_of<T>(), letter_of<T>(), 'p'}, &select<T>});
  };
  for_integers(moves), for_bits(moves);
  moves(uint32_t(), "f32"), moves(uint64_t(), "f64");
  for_bits([&](auto zero, const std::string& type) {
    using T = decltype(zero);
    add_lanes<And, T, T, T>(table, "and." + type);
    add_lanes<Or, T, T, T>(table, "or." + type);
    add_lanes<Xor, T, T, T>(table, "xor." + type);
    add_lanes<Not, T, T>(table, "not." + type);
    add_lanes<ShiftLeft, T, T, uint32_t>(table, "shl." + type);
    add_lanes<ShiftRight, T, T, uint32_t>(table, "shr." + type);
    if constexpr (sizeof(T) > 2) {
      add_lanes<CountOnes, uint32_t, T>(table, "popc." + type);
      add_lanes<CountLeadingZeros, uint32_t, T>(table, "clz." + type);
      add_lanes<InsertField, T, T, T, uint32_t, uint32_t>(table, "bfi." + type);
    }
  });
  for_integers([&](auto zero, const std::string& type) {
    using T = decltype(zero);
    add_lanes<ShiftRight, T, T, uint32_t>(table, "shr." + type);
    if constexpr (sizeof(T) > 2) add_lanes<ExtractField, T, T, uint32_t, uint32_t>(table, "bfe." + type);
  });
  add_lanes<Reverse, uint32_t, uint32_t>(table, "brev.b32");
  add_lanes<Permute, uint32_t, uint32_t, uint32_t, uint32_t>(table, "prmt.b32");
  add_lanes<Lookup, uint32_t, uint32_t, uint32_t, uint32_t, uint32_t>(table, "lop3.b32");
  add_lanes<FunnelLeft, uint32_t, uint32_t, uint32_t, uint32_t>(table, "shf.l.wrap.b32");
  add_lanes<FunnelRight, uint32_t, uint32_t, uint32_t, uint32_t>(table, "shf.r.wrap.b32");
  table.emplace("and.pred", Overload{"ppp", &on_masks<And, 2>});
  table.emplace("or.pred", Overload{"ppp", &on_masks<Or, 2>});
  table.emplace("xor.pred", Overload{"ppp", &on_masks<Xor, 2>});
  table.emplace("not.pred", Overload{"pp", &on_masks<Not, 1>});
  table.emplace("mov.pred", Overload{"pp", &on_masks<Same, 1>});
  table.emplace("mov.b32", Overload{"hhw", &part<uint32_t, uint16_t>});
  table.emplace("mov.b32", Overload{"whh", &join<uint32_t, uint16_t>});
  table.emplace("mov.b64", Overload{"wwd", &part<uint64_t, uint32_t>});
  table.emplace("mov.b64", Overload{"dww", &join<uint64_t, uint32_t>});
  table.emplace("mov.b64", Overload{"hhhhd", &part<uint64_t, uint16_t>});
  table.emplace("mov.b64", Overload{"dhhhh", &join<uint64_t, uint16_t>});
}

}  // namespace lorikeet::ptx
