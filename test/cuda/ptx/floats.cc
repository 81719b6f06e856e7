// Floating point arithmetic. Only opcodes that say how they round are known (add.rn.f32, not add.f32): ptxas may
// contract those that do not, and nobody could check here what it made of them.
#include <cfenv>
#include <cmath>

#include "cuda/ptx.cuh"
#include "operations.h"

namespace lorikeet::ptx {
namespace {

struct Add {
  template <class T>
  T operator()(T a, T b) const {
    return a + b;
  }
};
struct Subtract {
  template <class T>
  T operator()(T a, T b) const {
    return a - b;
  }
};
struct Multiply {
  template <class T>
  T operator()(T a, T b) const {
    return a * b;
  }
};
struct Divide {
  template <class T>
  T operator()(T a, T b) const {
    return a / b;
  }
};
struct MultiplyAdd {
  template <class T>
  T operator()(T a, T b, T c) const {
    return std::fma(a, b, c);
  }
};
struct Reciprocal {
  template <class T>
  T operator()(T a) const {
    return T(1) / a;
  }
};
struct SquareRoot {
  template <class T>
  T operator()(T a) const {
    return std::sqrt(a);
  }
};
struct Negate {
  template <class T>
  T operator()(T a) const {
    return -a;
  }
};
struct Absolute {
  template <class T>
  T operator()(T a) const {
    return std::fabs(a);
  }
};
struct CopySign {
  template <class T>
  T operator()(T sign, T size) const {
    return std::copysign(size, sign);
  }
};
// Of a number and NaN the number; -0 is less than +0.
struct Minimum {
  template <class T>
  T operator()(T a, T b) const {
    return std::isnan(a) ? b : std::isnan(b) ? a : a < b || (a == b && std::signbit(a)) ? a : b;
  }
};
struct Maximum {
  template <class T>
  T operator()(T a, T b) const {
    return std::isnan(a) ? b : std::isnan(b) ? a : a > b || (a == b && std::signbit(b)) ? a : b;
  }
};
// Approximations. The hardware's bits are not documented: 2^x is what the emulator takes it for, and 1 / x is rounded.
struct Exp2Flushing {
  float operator()(float x) const { return cuda_sim::exp2_approx(x); }
};
struct Exp2 {
  float operator()(float x) const { return std::exp2(x); }
};

// The same with another rounding than to nearest.
template <class F, int kRounding>
struct Rounded {
  template <class... T>
  auto operator()(T... values) const {
    std::fesetround(kRounding);
    volatile auto result = F()(values...);
    std::fesetround(FE_TONEAREST);
    return +result;
  }
};
// Without these the compiler could move the arithmetic out from between the two calls.
struct FencedAdd {
  template <class T>
  T operator()(volatile T a, volatile T b) const {
    return a + b;
  }
};
struct FencedMultiply {
  template <class T>
  T operator()(volatile T a, volatile T b) const {
    return a * b;
  }
};

template <class T>
void add_type(Table& table, const std::string& type) {
  add_lanes<Add, T, T, T>(table, "add.rn." + type);
  add_lanes<Subtract, T, T, T>(table, "sub.rn." + type);
  add_lanes<Multiply, T, T, T>(table, "mul.rn." + type);
  add_lanes<Divide, T, T, T>(table, "div.rn." + type);
  add_lanes<MultiplyAdd, T, T, T, T>(table, "fma.rn." + type);
  add_lanes<Reciprocal, T, T>(table, "rcp.rn." + type);
  add_lanes<SquareRoot, T, T>(table, "sqrt.rn." + type);
  add_lanes<Negate, T, T>(table, "neg." + type);
  add_lanes<Absolute, T, T>(table, "abs." + type);
  add_lanes<CopySign, T, T, T>(table, "copysign." + type);
  add_lanes<Minimum, T, T, T>(table, "min." + type);
  add_lanes<Maximum, T, T, T>(table, "max." + type);
}

template <int kRounding>
void add_rounding(Table& table, const std::string& rounding) {
  add_lanes<Rounded<FencedAdd, kRounding>, float, float, float>(table, "add." + rounding + ".f32");
  add_lanes<Rounded<FencedMultiply, kRounding>, float, float, float>(table, "mul." + rounding + ".f32");
  add_lanes<Rounded<MultiplyAdd, kRounding>, float, float, float, float>(table, "fma." + rounding + ".f32");
}

}  // namespace

void add_float_operations(Table& table) {
  add_type<float>(table, "f32");
  add_type<double>(table, "f64");
  add_rounding<FE_DOWNWARD>(table, "rm");
  add_rounding<FE_UPWARD>(table, "rp");
  add_rounding<FE_TOWARDZERO>(table, "rz");
  add_lanes<Exp2Flushing, float, float>(table, "ex2.approx.ftz.f32");
  add_lanes<Exp2, float, float>(table, "ex2.approx.f32");
  add_lanes<Reciprocal, float, float>(table, "rcp.approx.ftz.f32");
}

}  // namespace lorikeet::ptx
