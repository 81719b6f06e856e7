#include "cuda/kernels/layer_norm_backward.h"

#include "reference.h"

namespace lorikeet::cuda_sim::test {
namespace {

using sim::Mode;
using sim::Rights;

struct Shape {
  int rows, columns;
  bool wants_dx = true, wants_sums = true, in_place = false, crooked = false;  // crooked: gamma at no multiple of 16
  bool scaled = true;                                                         // by gamma
};

template <typename T>
double run(const Shape& s) {
  const size_t count = static_cast<size_t>(s.rows) * s.columns;
  DeviceArray<T> x("x", count, Rights::read), dy("dy", count), dx("dx", count);
  DeviceArray<float> gamma_array("gamma", s.columns + 1, Rights::read), stats("stats", 2 * s.rows, Rights::read);
  DeviceArray<float> dgamma("dgamma", s.columns), dbeta("dbeta", s.columns);
  DeviceArray<float> workspace("workspace", layer_norm_backward_workspace(s.rows, s.columns));
  const float* gamma = gamma_array.data() + s.crooked;
  Random random(s.columns);
  random.fill(x, 1.0f, 3.0f), random.fill(dy), random.fill(gamma_array), random.fill(dgamma), random.fill(dbeta);
  const std::vector<T> slopes(dy.data(), dy.data() + count);
  const std::vector<float> dgamma_before(dgamma.data(), dgamma.data() + s.columns);
  const std::vector<float> dbeta_before(dbeta.data(), dbeta.data() + s.columns);
  for (int row = 0; row < s.rows; row++) {
    double mean = 0, variance = 1e-5;
    for (int c = 0; c < s.columns; c++) mean += to_float(x[row * s.columns + c]) / static_cast<double>(s.columns);
    for (int c = 0; c < s.columns; c++) variance += std::pow(to_float(x[row * s.columns + c]) - mean, 2) / s.columns;
    stats[2 * row] = static_cast<float>(mean), stats[2 * row + 1] = static_cast<float>(1 / std::sqrt(variance));
  }
  T* to = s.wants_dx ? (s.in_place ? dy.data() : dx.data()) : nullptr;
  launch_layer_norm_backward<T>({s.rows, s.columns, dy.data(), x.data(), s.scaled ? gamma : nullptr, stats.data(), to,
                                 s.wants_sums ? dgamma.data() : nullptr, s.wants_sums ? dbeta.data() : nullptr,
                                 workspace.data()},
                                Stream());

  Errors errors;
  std::vector<Sum> gamma_sums(s.columns), beta_sums(s.columns);
  for (int row = 0; row < s.rows; row++) {
    const double mean = stats[2 * row], inverse_std = stats[2 * row + 1];
    const auto z = [&](int c) { return (to_float(x[row * s.columns + c]) - mean) * inverse_std; };
    const auto g = [&](int c) {
      return static_cast<double>(to_float(slopes[row * s.columns + c])) * (s.scaled ? gamma[c] : 1.0f);
    };
    Sum sum, sum_z;
    for (int c = 0; c < s.columns; c++) {
      sum.add(g(c)), sum_z.add(g(c) * z(c));
      gamma_sums[c].add(to_float(slopes[row * s.columns + c]) * z(c));
      beta_sums[c].add(to_float(slopes[row * s.columns + c]));
    }
    for (int c = 0; c < s.columns && s.wants_dx; c++) {
      const double expected = (g(c) - sum.value / s.columns - z(c) * sum_z.value / s.columns) * inverse_std;
      const double size = std::fabs(g(c)) + (sum.size + (std::fabs(z(c)) + 1) * sum_z.size) / s.columns;
      errors.add(to[row * s.columns + c], expected, size * inverse_std * 0x1p-21);
    }
  }
  for (int c = 0; c < s.columns && s.wants_sums; c++) {
    errors.add(dgamma[c], dgamma_before[c] + gamma_sums[c].value, gamma_sums[c].size * 0x1p-21);
    errors.add(dbeta[c], dbeta_before[c] + beta_sums[c].value, beta_sums[c].size * 0x1p-21);
  }
  return errors.worst();
}

template <typename T>
void all() {
  const auto test = [](const char* what, const Shape& s) {
    const std::string name = std::string(kDtypeName<T>) + " " + std::to_string(s.rows) + " x " +
                             std::to_string(s.columns) + what;
    check(name.c_str(), Mode::strict, [&](Json& line) {
      line.number("error", run<T>(s));
      line.number("bytes", static_cast<double>(s.rows) * (s.columns * 3 * sizeof(T) + 8) + s.columns * 4);
      line.raw("counters", counters_of("layer_norm_backward"));
    });
  };
  test("", {70, 320});
  test("", {531, 16});     // several blocks of several steps
  test("", {5, 4096});     // wider than a block
  test("", {9, 33});       // no whole pieces
  test("", {300, 5});
  test("", {1, 1});
  test(", in place", {70, 320, true, true, true});
  test(", in place", {9, 33, true, true, true});
  test(", crooked", {6, 64, true, true, false, true});
  test(", dx alone", {8, 1280, true, false});
  test(", dx alone", {8, 77, true, false});
  test(", sums alone", {21, 64, false, true});
  test(", without gamma", {70, 320, true, false, false, false, false});
  test(", without gamma", {9, 33, true, false, false, false, false});
}

}  // namespace
}  // namespace lorikeet::cuda_sim::test

int main() {
  lorikeet::cuda_sim::test::all<lorikeet::cuda_sim::bf16>();
  lorikeet::cuda_sim::test::all<float>();
}
