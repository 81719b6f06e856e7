// Integer arithmetic. Overflow wraps; division by zero gives all ones, as the hardware happens to.
#include <algorithm>
#include <type_traits>

#include "operations.h"

namespace lorikeet::ptx {
namespace {

template <class T>
using Unsigned = std::make_unsigned_t<T>;
template <class T>
using Wide = std::conditional_t<
    sizeof(T) == 2, std::conditional_t<std::is_signed_v<T>, int32_t, uint32_t>,
    std::conditional_t<sizeof(T) == 4, std::conditional_t<std::is_signed_v<T>, int64_t, uint64_t>,
                       std::conditional_t<std::is_signed_v<T>, __int128, unsigned __int128>>>;

// Not in T: signed overflow would be undefined, and 16-bit products would be computed in int.
template <class T>
uint64_t wrap(T value) {
  return static_cast<uint64_t>(value);
}

struct Add {
  template <class T>
  T operator()(T a, T b) const {
    return static_cast<T>(wrap(a) + wrap(b));
  }
};
struct Subtract {
  template <class T>
  T operator()(T a, T b) const {
    return static_cast<T>(wrap(a) - wrap(b));
  }
};
struct MultiplyLow {
  template <class T>
  T operator()(T a, T b) const {
    return static_cast<T>(wrap(a) * wrap(b));
  }
};
struct MultiplyAddLow {
  template <class T>
  T operator()(T a, T b, T c) const {
    return static_cast<T>(wrap(a) * wrap(b) + wrap(c));
  }
};
struct MultiplyWide {
  template <class T>
  Wide<T> operator()(T a, T b) const {
    return static_cast<Wide<T>>(a) * static_cast<Wide<T>>(b);
  }
};
struct MultiplyAddWide {
  template <class T>
  Wide<T> operator()(T a, T b, Wide<T> c) const {
    return Add()(MultiplyWide()(a, b), c);
  }
};
struct MultiplyHigh {
  template <class T>
  T operator()(T a, T b) const {
    return static_cast<T>(MultiplyWide()(a, b) >> (8 * sizeof(T)));
  }
};
struct MultiplyAddHigh {
  template <class T>
  T operator()(T a, T b, T c) const {
    return Add()(MultiplyHigh()(a, b), c);
  }
};
struct Divide {
  template <class T>
  T operator()(T a, T b) const {
    if (b == 0) return static_cast<T>(~T(0));
    if (std::is_signed_v<T> && b == static_cast<T>(-1)) return Subtract()(T(0), a);
    return static_cast<T>(a / b);
  }
};
struct Remainder {
  template <class T>
  T operator()(T a, T b) const {
    if (b == 0) return a;
    if (std::is_signed_v<T> && b == static_cast<T>(-1)) return 0;
    return static_cast<T>(a % b);
  }
};
struct Minimum {
  template <class T>
  T operator()(T a, T b) const {
    return std::min(a, b);
  }
};
struct Maximum {
  template <class T>
  T operator()(T a, T b) const {
    return std::max(a, b);
  }
};
struct Negate {
  template <class T>
  T operator()(T a) const {
    return Subtract()(T(0), a);
  }
};
struct Absolute {
  template <class T>
  T operator()(T a) const {
    return a < 0 ? Negate()(a) : a;
  }
};

}  // namespace

void add_integer_operations(Table& table) {
  for_integers([&](auto zero, const std::string& type) {
    using T = decltype(zero);
    add_lanes<Add, T, T, T>(table, "add." + type);
    add_lanes<Subtract, T, T, T>(table, "sub." + type);
    add_lanes<MultiplyLow, T, T, T>(table, "mul.lo." + type);
    add_lanes<MultiplyHigh, T, T, T>(table, "mul.hi." + type);
    add_lanes<MultiplyAddLow, T, T, T, T>(table, "mad.lo." + type);
    add_lanes<MultiplyAddHigh, T, T, T, T>(table, "mad.hi." + type);
    add_lanes<Divide, T, T, T>(table, "div." + type);
    add_lanes<Remainder, T, T, T>(table, "rem." + type);
    add_lanes<Minimum, T, T, T>(table, "min." + type);
    add_lanes<Maximum, T, T, T>(table, "max." + type);
    if constexpr (std::is_signed_v<T>) {
      add_lanes<Negate, T, T>(table, "neg." + type);
      add_lanes<Absolute, T, T>(table, "abs." + type);
    }
    if constexpr (sizeof(T) < 8) {
      add_lanes<MultiplyWide, Wide<T>, T, T>(table, "mul.wide." + type);
      add_lanes<MultiplyAddWide, Wide<T>, T, T, Wide<T>>(table, "mad.wide." + type);
    }
  });
}

}  // namespace lorikeet::ptx
