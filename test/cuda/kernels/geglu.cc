#include "cuda/kernels/geglu.h"

#include "reference.h"

namespace lorikeet::cuda_sim::test {
namespace {

using sim::Mode;
using sim::Rights;

template <typename T>
double run(int rows, int columns) {
  DeviceArray<T> x("x", static_cast<size_t>(rows) * columns * 2, Rights::read);
  DeviceArray<T> y("y", static_cast<size_t>(rows) * columns);
  Random(columns).fill(x, 6.0f);
  launch_geglu<T>({rows, columns, x.data(), y.data()}, Stream());
  Errors errors;
  for (int row = 0; row < rows; row++) {
    for (int c = 0; c < columns; c++) {
      const double value = to_float(x[row * 2 * columns + c]), gate = to_float(x[(row * 2 + 1) * columns + c]);
      const double gelu = 0.5 * gate * (1 + std::erf(gate * std::sqrt(0.5)));
      // 1 + erf cancels for negative gates: an error of a unit of f32 in 1, whatever the result.
      errors.add(y[row * columns + c], value * gelu, std::fabs(value * gate) * 0x1p-23);
    }
  }
  return errors.worst();
}

template <typename T>
void all() {
  const int shapes[][2] = {{3, 1280}, {70, 64}, {5, 77}, {1, 1}};
  for (const auto& [rows, columns] : shapes) {
    const std::string name = std::string(kDtypeName<T>) + " " + std::to_string(rows) + " x " + std::to_string(columns);
    check(name.c_str(), Mode::strict, [&](Json& line) {
      line.number("error", run<T>(rows, columns));
      line.number("bytes", static_cast<double>(rows * columns * 3 * sizeof(T)));
      line.raw("counters", counters_of("geglu"));
    });
  }
}

}  // namespace
}  // namespace lorikeet::cuda_sim::test

int main() {
  lorikeet::cuda_sim::test::all<lorikeet::cuda_sim::bf16>();
  lorikeet::cuda_sim::test::all<float>();
}
