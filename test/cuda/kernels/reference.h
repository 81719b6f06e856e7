// What the norms' tests share: comparing with a reference in double.
#pragma once

#include "../harness.h"

namespace lorikeet::cuda_sim::test {

template <typename T>
constexpr const char* kDtypeName = sizeof(T) == 2 ? "bf16" : "f32";

// The largest difference, in units of what is allowed: one rounding of a result to T, and `slack`.
class Errors {
 public:
  template <typename T>
  void add(T got, double expected, double slack) {
    const double rounding = sizeof(T) == 2 ? 0x1p-8 : 0x1p-22;
    const double error = std::fabs(to_float(got) - expected) / (std::fabs(expected) * rounding + slack);
    if (!(error <= worst_)) worst_ = error == error ? error : INFINITY;
  }
  double worst() const { return worst_; }

 private:
  double worst_ = 0;
};

// A sum in double, and what its terms come to without their signs, which rounding goes by.
struct Sum {
  double value = 0, size = 0;
  void add(double term) { value += term, size += std::fabs(term); }
};

inline std::string counters_of(const std::string& kernel) {
  return json_of(sim::Machine::current().counters().at(kernel));
}

}  // namespace lorikeet::cuda_sim::test
