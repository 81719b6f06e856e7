// What loss and loss_backward have in common on every device: the elementwise losses of the difference d = prediction -
// target, with their slopes, as kohya-ss/sd-scripts defines them (conditional_loss), c being huber_c.
#pragma once

#include <cmath>

#include "../anywhere.h"
#include "../kernel.h"

namespace lorikeet {

struct L2 {
  static constexpr bool kHuber = false;
  static LORIKEET_ANYWHERE float value(float d, float) { return d * d; }
  static LORIKEET_ANYWHERE float slope(float d, float) { return 2.0f * d; }
};

struct L1 {
  static constexpr bool kHuber = false;
  static LORIKEET_ANYWHERE float value(float d, float) { return std::fabs(d); }
  static LORIKEET_ANYWHERE float slope(float d, float) { return d > 0 ? 1.0f : d < 0 ? -1.0f : d; }  // 0 and NaN stay
};

// 2 (sqrt(d^2 + c^2) - c), written without the difference that loses digits for small d
struct SmoothL1 {
  static constexpr bool kHuber = true;
  static LORIKEET_ANYWHERE float value(float d, float c) { return 2.0f * d * d / (std::sqrt(d * d + c * c) + c); }
  static LORIKEET_ANYWHERE float slope(float d, float c) { return 2.0f * d / std::sqrt(d * d + c * c); }
};

// 2 c (sqrt(d^2 + c^2) - c)
struct Huber {
  static constexpr bool kHuber = true;
  static LORIKEET_ANYWHERE float value(float d, float c) { return c * SmoothL1::value(d, c); }
  static LORIKEET_ANYWHERE float slope(float d, float c) { return c * SmoothL1::slope(d, c); }
};

// make(L2{}), make(L1{}), ... by the name in the program. Throws Error for an unknown kind.
template <typename Make>
auto by_loss(const std::string& op, const std::string& kind, const Make& make) {
  if (kind == "l2") return make(L2{});
  if (kind == "l1") return make(L1{});
  if (kind == "huber") return make(Huber{});
  if (kind == "smooth_l1") return make(SmoothL1{});
  fail(op, ": kind is '", kind, "'; it must be l2, l1, huber or smooth_l1");
}

// What both ops ask of their operands: pred [N, ..], target, weight [N], huber_c? [N] and their outputs. Throw Error.
void check_loss(const OpRequest& request);
void check_loss_backward(const OpRequest& request);

}  // namespace lorikeet
