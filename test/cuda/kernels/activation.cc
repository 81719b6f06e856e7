#include "cuda/kernels/activation.h"

#include "reference.h"

namespace lorikeet::cuda_sim::test {
namespace {

using sim::Mode;
using sim::Rights;

struct Value {
  double value, derivative;
};

Value reference(ActivationKind kind, double x) {
  const auto sigmoid = [](double z) { return 1 / (1 + std::exp(-z)); };
  if (kind == ActivationKind::gelu) {
    const double cdf = 0.5 * std::erfc(-x * std::sqrt(0.5));
    return {x * cdf, cdf + x * std::exp(-0.5 * x * x) / std::sqrt(2 * std::acos(-1.0))};
  }
  double z = x, dz = 1;
  if (kind == ActivationKind::gelu_tanh) {
    const double c = 2 * std::sqrt(2 / std::acos(-1.0));
    z = c * (x + 0.044715 * x * x * x), dz = c * (1 + 3 * 0.044715 * x * x);
  } else if (kind == ActivationKind::quick_gelu) {
    z = 1.702 * x, dz = 1.702;
  }
  return {x * sigmoid(z), sigmoid(z) + x * dz * sigmoid(z) * sigmoid(-z)};
}

enum class Mapping { apart, in_place, crooked };  // crooked: arrays that start at no multiple of 16 bytes

template <typename T>
double run(ActivationKind kind, int count, bool is_backward, Mapping mapping) {
  DeviceArray<T> x("x", count + 1), dy("dy", count + 1), to("to", count + 1);
  Random random(count);
  random.fill(x, 8.0f), random.fill(dy);
  const std::vector<T> slopes(dy.data(), dy.data() + count + 1), at(x.data(), x.data() + count + 1);
  const int first = mapping == Mapping::crooked;
  T* result = to.data() + first;
  if (mapping == Mapping::in_place) result = is_backward ? dy.data() : x.data();
  if (is_backward) {
    launch_activation_backward<T>({count, kind, dy.data() + first, x.data() + first, result}, Stream());
  } else {
    launch_activation<T>({count, kind, x.data() + first, result}, Stream());
  }
  Errors errors;
  for (int i = 0; i < count; i++) {
    const double point = to_float(at[first + i]), slope = to_float(slopes[first + i]);
    const Value expected = reference(kind, point);
    // The exponent is rounded in f32; the derivative is a sum whose terms may cancel.
    const double exponent = kind == ActivationKind::gelu_tanh ? 2 * std::fabs(point) + std::fabs(point * point * point)
                                                               : 2 * std::fabs(point) + point * point;
    const double relative = (8 + exponent) * 0x1p-23;
    if (is_backward) {
      errors.add(result[i], slope * expected.derivative,
                 std::fabs(slope) * relative * (std::fabs(expected.derivative) + std::fabs(expected.value)) + 1e-30);
    } else {
      errors.add(result[i], expected.value, std::fabs(expected.value) * relative);
    }
  }
  return errors.worst();
}

template <typename T>
void all() {
  const std::pair<const char*, ActivationKind> kinds[] = {{"silu", ActivationKind::silu},
                                                          {"gelu", ActivationKind::gelu},
                                                          {"gelu_tanh", ActivationKind::gelu_tanh},
                                                          {"quick_gelu", ActivationKind::quick_gelu}};
  const std::pair<const char*, Mapping> mappings[] = {
      {"", Mapping::apart}, {", in place", Mapping::in_place}, {", crooked", Mapping::crooked}};
  for (const auto& [kind_name, kind] : kinds) {
    for (const int count : {1, 2048, 2307}) {
      for (const bool is_backward : {false, true}) {
        for (const auto& [suffix, mapping] : mappings) {
          const std::string name = std::string(kDtypeName<T>) + " " + kind_name + (is_backward ? " backward " : " ") +
                                   std::to_string(count) + suffix;
          check(name.c_str(), Mode::strict, [&, kind = kind, mapping = mapping](Json& line) {
            line.number("error", run<T>(kind, count, is_backward, mapping));
            line.number("bytes", static_cast<double>(count * sizeof(T) * (is_backward ? 3 : 2)));
            line.raw("counters", counters_of(is_backward ? "activation_backward" : "activation"));
          });
        }
      }
    }
  }
}

}  // namespace
}  // namespace lorikeet::cuda_sim::test

int main() {
  lorikeet::cuda_sim::test::all<lorikeet::cuda_sim::bf16>();
  lorikeet::cuda_sim::test::all<float>();
}
