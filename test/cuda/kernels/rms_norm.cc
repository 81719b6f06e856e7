#include "cuda/kernels/rms_norm.h"

#include "reference.h"

namespace lorikeet::cuda_sim::test {
namespace {

using sim::Mode;
using sim::Rights;

template <typename T>
double run(int rows, int columns, bool crooked) {
  const size_t count = static_cast<size_t>(rows) * columns;
  DeviceArray<T> x("x", count, Rights::read), y("y", count);
  DeviceArray<float> weight_array("weight", columns + 1, Rights::read), stats("stats", rows);
  const float* weight = weight_array.data() + crooked;
  Random random(columns);
  random.fill(x, 2.0f, 0.5f), random.fill(weight_array);
  launch_rms_norm<T>({rows, columns, 1e-3f, x.data(), weight, y.data(), stats.data()}, Stream());

  Errors errors;
  for (int row = 0; row < rows; row++) {
    double squares = 0;
    for (int c = 0; c < columns; c++) squares += std::pow(to_float(x[row * columns + c]), 2);
    const double scale = 1 / std::sqrt(squares / columns + static_cast<double>(1e-3f));
    errors.add(stats[row], scale, scale * 0x1p-22);
    for (int c = 0; c < columns; c++) {
      const double expected = to_float(x[row * columns + c]) * scale * weight[c];
      errors.add(y[row * columns + c], expected, std::fabs(expected) * 0x1p-21);
    }
  }
  return errors.worst();
}

template <typename T>
void all() {
  const auto test = [](int rows, int columns, bool crooked = false) {
    const std::string name = std::string(kDtypeName<T>) + " " + std::to_string(rows) + " x " +
                             std::to_string(columns) + (crooked ? ", crooked" : "");
    check(name.c_str(), Mode::strict, [&](Json& line) {
      line.number("error", run<T>(rows, columns, crooked));
      line.number("bytes", static_cast<double>(rows) * (columns * 2 * sizeof(T) + 4) + columns * 4);
      line.raw("counters", counters_of("rms_norm"));
    });
  };
  test(37, 40);    // a part of the lanes
  test(64, 32);    // several rows a warp
  test(64, 64);
  test(64, 128);
  test(2056, 256);  // several steps a block
  test(9, 256);
  test(8, 512);    // several accesses a lane
  test(8, 1280);   // longer
  test(9, 33);     // no whole accesses
  test(1, 1);
  test(8, 128, true);
}

}  // namespace
}  // namespace lorikeet::cuda_sim::test

int main() {
  lorikeet::cuda_sim::test::all<lorikeet::cuda_sim::bf16>();
  lorikeet::cuda_sim::test::all<float>();
}
