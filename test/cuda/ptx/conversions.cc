// cvt, and comparisons.
#include <cmath>
#include <limits>
#include <type_traits>

#include "cuda/ptx.cuh"
#include "operations.h"

namespace lorikeet::ptx {
namespace {

// To an integer or a float of a type from the value of another, both in registers that may be wider. Sign or zeros fill
// what is left of the destination.
template <class To, class From, class ToRegister, class FromRegister>
struct Convert {
  ToRegister operator()(FromRegister from) const {
    return static_cast<ToRegister>(static_cast<To>(static_cast<From>(from)));
  }
};

struct RoundNearest {
  template <class T>
  T operator()(T x) const {
    return std::nearbyint(x);
  }
};
struct RoundZero {
  template <class T>
  T operator()(T x) const {
    return std::trunc(x);
  }
};
struct RoundDown {
  template <class T>
  T operator()(T x) const {
    return std::floor(x);
  }
};
struct RoundUp {
  template <class T>
  T operator()(T x) const {
    return std::ceil(x);
  }
};

// A float to an integer: what is too large becomes the nearest that there is, NaN becomes zero.
template <class To, class From, class Round>
struct ToInteger {
  To operator()(From x) const {
    if (std::isnan(x)) return 0;
    const From rounded = Round()(x);
    if (rounded < static_cast<From>(std::numeric_limits<To>::min())) return std::numeric_limits<To>::min();
    if (rounded >= static_cast<From>(std::numeric_limits<To>::max())) return std::numeric_limits<To>::max();
    return static_cast<To>(rounded);
  }
};

struct Saturate {
  float operator()(float x) const { return std::isnan(x) || x < 0 ? 0.0f : x > 1 ? 1.0f : x; }
};
// The first operand is the upper half.
struct PackBf16 {
  uint32_t operator()(float high, float low) const { return cuda_sim::pack_bf16(low, high); }
};
struct ToBf16 {
  uint16_t operator()(float x) const { return static_cast<uint16_t>(cuda_sim::pack_bf16(x, 0.0f)); }
};

template <class To, class From, class FromRegister>
void add_integers(Table& table, const std::string& opcode) {
  add_lanes<Convert<To, From, uint16_t, FromRegister>, uint16_t, FromRegister>(table, opcode);
  add_lanes<Convert<To, From, uint32_t, FromRegister>, uint32_t, FromRegister>(table, opcode);
  add_lanes<Convert<To, From, uint64_t, FromRegister>, uint64_t, FromRegister>(table, opcode);
}

template <class To, class From>
void add_integer_pair(Table& table, const std::string& to, const std::string& from) {
  const std::string opcode = "cvt." + to + "." + from;
  if constexpr (sizeof(From) <= 2) add_integers<To, From, uint16_t>(table, opcode);
  if constexpr (sizeof(From) <= 4) add_integers<To, From, uint32_t>(table, opcode);
  add_integers<To, From, uint64_t>(table, opcode);
}

template <class Call>
void for_sizes(const Call& call) {
  for_integers(call);
  call(uint8_t(), "u8"), call(int8_t(), "s8");
}

template <class Float, class Round>
void add_rounding(Table& table, const std::string& rounding, const std::string& type) {
  add_lanes<Round, Float, Float>(table, "cvt." + rounding + "i." + type + "." + type);
  for_integers([&](auto zero, const std::string& integer) {
    using T = decltype(zero);
    if constexpr (sizeof(T) > 2) {
      add_lanes<ToInteger<T, Float, Round>, T, Float>(table, "cvt." + rounding + "i." + integer + "." + type);
    }
  });
}

template <class Float>
void add_float_type(Table& table, const std::string& type) {
  add_rounding<Float, RoundNearest>(table, "rn", type);
  add_rounding<Float, RoundZero>(table, "rz", type);
  add_rounding<Float, RoundDown>(table, "rm", type);
  add_rounding<Float, RoundUp>(table, "rp", type);
  for_integers([&](auto zero, const std::string& integer) {
    using T = decltype(zero);
    add_lanes<Convert<Float, T, Float, T>, Float, T>(table, "cvt.rn." + type + "." + integer);
  });
}

struct Equal {
  template <class T>
  bool operator()(T a, T b) const {
    return a == b;
  }
};
struct Less {
  template <class T>
  bool operator()(T a, T b) const {
    return a < b;
  }
};
struct LessEqual {
  template <class T>
  bool operator()(T a, T b) const {
    return a <= b;
  }
};
template <class F>
struct Swapped {
  template <class T>
  bool operator()(T a, T b) const {
    return F()(b, a);
  }
};
template <class F>
struct Opposite {
  template <class T>
  bool operator()(T a, T b) const {
    return !F()(a, b);
  }
};
struct Unordered {
  template <class T>
  bool operator()(T a, T b) const {
    return a != a || b != b;
  }
};
struct OrderedUnequal {
  template <class T>
  bool operator()(T a, T b) const {
    return a < b || a > b;
  }
};

enum class Combine { none, with_and, with_or, with_xor };

// One or two predicates, the second being the opposite; of the comparison, or of it combined with a third.
template <class F, class T, bool kPair, Combine kCombine>
void compare(Warp& warp, const Instruction& instruction) {
  const auto& at = instruction.operands;
  constexpr int kFirst = kPair ? 2 : 1;
  uint32_t result = 0;
  for (int lane = 0; lane < 32; lane++) {
    const T a = warp.read<T>(at[kFirst].slot, lane), b = warp.read<T>(at[kFirst + 1].slot, lane);
    result |= static_cast<uint32_t>(F()(a, b)) << lane;
  }
  uint32_t opposite = ~result;
  if constexpr (kCombine != Combine::none) {
    const uint32_t other = warp.mask(at[kFirst + 2].slot);
    const auto combined = [&](uint32_t mask) {
      return kCombine == Combine::with_and ? mask & other : kCombine == Combine::with_or ? mask | other : mask ^ other;
    };
    result = combined(result), opposite = combined(opposite);
  }
  warp.set_mask(at[0].slot, result);
  if (kPair) warp.set_mask(at[1].slot, opposite);
}

template <class F, class T>
void add_comparison(Table& table, const std::string& name, const std::string& type) {
  const char letter = letter_of<T>();
  const auto add = [&](const std::string& combine, const std::string& third, Operation one, Operation two) {
    const std::string opcode = "setp." + name + combine + "." + type;
    table.emplace(opcode, Overload{std::string("p") + letter + letter + third, one});
    table.emplace(opcode, Overload{std::string("pp") + letter + letter + third, two});
  };
  add("", "", &compare<F, T, false, Combine::none>, &compare<F, T, true, Combine::none>);
  add(".and", "p", &compare<F, T, false, Combine::with_and>, &compare<F, T, true, Combine::with_and>);
  add(".or", "p", &compare<F, T, false, Combine::with_or>, &compare<F, T, true, Combine::with_or>);
  add(".xor", "p", &compare<F, T, false, Combine::with_xor>, &compare<F, T, true, Combine::with_xor>);
}

}  // namespace

void add_conversions(Table& table) {
  for_sizes([&](auto to_zero, const std::string& to) {
    for_sizes([&](auto from_zero, const std::string& from) {
      add_integer_pair<decltype(to_zero), decltype(from_zero)>(table, to, from);
    });
  });
  add_float_type<float>(table, "f32");
  add_float_type<double>(table, "f64");
  add_lanes<Convert<double, float, double, float>, double, float>(table, "cvt.f64.f32");
  add_lanes<Convert<float, double, float, double>, float, double>(table, "cvt.rn.f32.f64");
  add_lanes<Saturate, float, float>(table, "cvt.sat.f32.f32");
  add_lanes<PackBf16, uint32_t, float, float>(table, "cvt.rn.bf16x2.f32");
  add_lanes<ToBf16, uint16_t, float>(table, "cvt.rn.bf16.f32");
}

void add_comparisons(Table& table) {
  const auto ordered = [&](auto zero, const std::string& type) {
    using T = decltype(zero);
    add_comparison<Equal, T>(table, "eq", type);
    add_comparison<Less, T>(table, "lt", type);
    add_comparison<LessEqual, T>(table, "le", type);
    add_comparison<Swapped<Less>, T>(table, "gt", type);
    add_comparison<Swapped<LessEqual>, T>(table, "ge", type);
  };
  const auto floats = [&](auto zero, const std::string& type) {
    using T = decltype(zero);
    ordered(zero, type);
    add_comparison<OrderedUnequal, T>(table, "ne", type);
    // With u: true also when one is NaN.
    add_comparison<Opposite<OrderedUnequal>, T>(table, "equ", type);
    add_comparison<Opposite<Equal>, T>(table, "neu", type);
    add_comparison<Opposite<Swapped<LessEqual>>, T>(table, "ltu", type);
    add_comparison<Opposite<Swapped<Less>>, T>(table, "leu", type);
    add_comparison<Opposite<LessEqual>, T>(table, "gtu", type);
    add_comparison<Opposite<Less>, T>(table, "geu", type);
    add_comparison<Unordered, T>(table, "nan", type);
    add_comparison<Opposite<Unordered>, T>(table, "num", type);
  };
  for_integers([&](auto zero, const std::string& type) {
    ordered(zero, type);
    add_comparison<Opposite<Equal>, decltype(zero)>(table, "ne", type);
  });
  for_bits([&](auto zero, const std::string& type) {
    add_comparison<Equal, decltype(zero)>(table, "eq", type);
    add_comparison<Opposite<Equal>, decltype(zero)>(table, "ne", type);
  });
  floats(float(), "f32"), floats(double(), "f64");
}

}  // namespace lorikeet::ptx
