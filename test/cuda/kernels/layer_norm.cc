#include "cuda/kernels/layer_norm.h"

#include "reference.h"

namespace lorikeet::cuda_sim::test {
namespace {

using sim::Mode;
using sim::Rights;

template <typename T>
double run(int rows, int columns, float offset, bool scaled) {
  const size_t count = static_cast<size_t>(rows) * columns;
  DeviceArray<T> x("x", count, Rights::read), y("y", count);
  DeviceArray<float> gamma("gamma", columns, Rights::read), beta("beta", columns, Rights::read);
  DeviceArray<float> stats("stats", static_cast<size_t>(rows) * 2);
  Random random(columns);
  random.fill(x, 1.0f, offset), random.fill(gamma), random.fill(beta);
  const float eps = 1e-5f;
  launch_layer_norm<T>({rows, columns, eps, x.data(), scaled ? gamma.data() : nullptr, scaled ? beta.data() : nullptr,
                        y.data(), stats.data()},
                       Stream());

  Errors errors;
  for (int row = 0; row < rows; row++) {
    double mean = 0, variance = 0;
    for (int c = 0; c < columns; c++) mean += to_float(x[row * columns + c]) / static_cast<double>(columns);
    for (int c = 0; c < columns; c++) variance += std::pow(to_float(x[row * columns + c]) - mean, 2) / columns;
    const double inverse_std = 1 / std::sqrt(variance + eps);
    // f32 knows the mean to a few units in its last place, and every distance from it no better.
    const double slack = (1 + std::fabs(mean)) * 0x1p-20;
    errors.add(stats[2 * row], mean, slack);
    errors.add(stats[2 * row + 1], inverse_std, inverse_std * slack);
    for (int c = 0; c < columns; c++) {
      const double normal = (to_float(x[row * columns + c]) - mean) * inverse_std;
      errors.add(y[row * columns + c], scaled ? normal * gamma[c] + beta[c] : normal, inverse_std * slack);
    }
  }
  return errors.worst();
}

template <typename T>
void all() {
  const int shapes[][2] = {{1, 8}, {5, 320}, {9, 640}, {6, 768}, {4, 1280}, {7, 2048}, {5, 77}, {3, 3080}, {2, 1},
                           {2050, 16}};  // several steps a block
  const auto test = [](int rows, int columns, float offset, bool scaled) {
    const std::string name = std::string(kDtypeName<T>) + " " + std::to_string(rows) + " x " + std::to_string(columns) +
                             (offset == 0 ? "" : ", mean 30") + (scaled ? "" : ", alone");
    check(name.c_str(), Mode::strict, [&](Json& line) {
      line.number("error", run<T>(rows, columns, offset, scaled));
      line.number("bytes",
                  static_cast<double>(rows * columns * 2 * sizeof(T) + (scaled ? columns * 8 : 0) + rows * 8));
      line.raw("counters", counters_of("layer_norm"));
    });
  };
  for (const auto& [rows, columns] : shapes) {
    for (float offset : {0.0f, 30.0f}) test(rows, columns, offset, true);
  }
  test(4, 1280, 0.0f, false);  // neither gamma nor beta
  test(5, 77, 0.0f, false);
}

}  // namespace
}  // namespace lorikeet::cuda_sim::test

int main() {
  lorikeet::cuda_sim::test::all<lorikeet::cuda_sim::bf16>();
  lorikeet::cuda_sim::test::all<float>();
}
