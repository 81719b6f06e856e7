#include "cuda/kernels/geglu.h"

#include "reference.h"

namespace lorikeet::cuda_sim::test {
namespace {

using sim::Mode;
using sim::Rights;

double cdf(double x) { return 0.5 * std::erfc(-x * std::sqrt(0.5)); }
double density(double x) { return std::exp(-0.5 * x * x) / std::sqrt(2 * std::acos(-1.0)); }
// The tail's exponent is rounded in f32, which tells the more the further out.
double tail(double x) { return (8 + x * x) * 0x1p-23; }

template <typename T>
double forward(int rows, int columns) {
  DeviceArray<T> x("x", static_cast<size_t>(rows) * columns * 2, Rights::read);
  DeviceArray<T> y("y", static_cast<size_t>(rows) * columns);
  Random(columns).fill(x, 6.0f);
  launch_geglu<T>({rows, columns, x.data(), y.data()}, Stream());
  Errors errors;
  for (int row = 0; row < rows; row++) {
    for (int c = 0; c < columns; c++) {
      const double value = to_float(x[row * 2 * columns + c]), gate = to_float(x[(row * 2 + 1) * columns + c]);
      const double expected = value * gate * cdf(gate);
      errors.add(y[row * columns + c], expected, std::fabs(expected) * tail(gate));
    }
  }
  return errors.worst();
}

template <typename T>
double backward(int rows, int columns, bool in_place) {
  DeviceArray<T> dy("dy", static_cast<size_t>(rows) * columns, Rights::read);
  DeviceArray<T> x("x", dy.count() * 2), dx("dx", x.count());
  Random random(columns);
  random.fill(dy), random.fill(x, 6.0f);
  const std::vector<T> before(x.data(), x.data() + x.count());
  T* to = in_place ? x.data() : dx.data();
  launch_geglu_backward<T>({rows, columns, dy.data(), x.data(), to}, Stream());
  Errors errors;
  for (int row = 0; row < rows; row++) {
    for (int c = 0; c < columns; c++) {
      const int at = row * 2 * columns + c;
      const double slope = to_float(dy[row * columns + c]), value = to_float(before[at]);
      const double gate = to_float(before[at + columns]), left = gate * cdf(gate), right = gate * density(gate);
      errors.add(to[at], slope * left, std::fabs(slope * left) * tail(gate));
      errors.add(to[at + columns], slope * value * (cdf(gate) + right),
                 std::fabs(slope * value) * (cdf(gate) + std::fabs(right)) * tail(gate));
    }
  }
  return errors.worst();
}

template <typename T>
void all() {
  const int shapes[][2] = {{3, 1280}, {70, 64}, {5, 77}, {1, 1}};
  for (const auto& [rows, columns] : shapes) {
    const std::string name = std::string(kDtypeName<T>) + " " + std::to_string(rows) + " x " + std::to_string(columns);
    const double bytes = static_cast<double>(rows * columns * sizeof(T));
    check(name.c_str(), Mode::strict, [&, rows = rows, columns = columns](Json& line) {
      line.number("error", forward<T>(rows, columns));
      line.number("bytes", 3 * bytes).raw("counters", counters_of("geglu"));
    });
    for (const bool in_place : {false, true}) {
      check((name + (in_place ? " backward in place" : " backward")).c_str(), Mode::strict,
            [&, rows = rows, columns = columns](Json& line) {
              line.number("error", backward<T>(rows, columns, in_place));
              line.number("bytes", 5 * bytes).raw("counters", counters_of("geglu_backward"));
            });
    }
  }
}

}  // namespace
}  // namespace lorikeet::cuda_sim::test

int main() {
  lorikeet::cuda_sim::test::all<lorikeet::cuda_sim::bf16>();
  lorikeet::cuda_sim::test::all<float>();
}
