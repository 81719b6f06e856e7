#include "cuda/kernels/group_norm_backward.h"

#include "reference.h"

namespace lorikeet::cuda_sim::test {
namespace {

using sim::Mode;
using sim::Rights;

struct Shape {
  int samples, rows, channels, groups;
  bool silu, shift;
  bool wants_dx = true, wants_sums = true, in_place = false;
};

template <typename T>
double run(const Shape& s) {
  const int width = s.channels / s.groups;
  const size_t count = static_cast<size_t>(s.samples) * s.rows * s.channels;
  DeviceArray<T> x("x", count, Rights::read), dy("dy", count), dx("dx", count);
  DeviceArray<T> shift("shift", static_cast<size_t>(s.samples) * s.channels, Rights::read);
  DeviceArray<float> gamma("gamma", s.channels, Rights::read), beta("beta", s.channels, Rights::read);
  DeviceArray<float> stats("stats", static_cast<size_t>(s.samples) * s.groups * 2, Rights::read);
  DeviceArray<float> dgamma("dgamma", s.channels), dbeta("dbeta", s.channels);
  DeviceArray<float> workspace(
      "workspace", group_norm_backward_workspace(s.samples, s.rows, s.channels, s.groups, s.wants_sums));
  Random random(s.channels);
  random.fill(x, 1.0f, 0.5f), random.fill(dy), random.fill(shift), random.fill(gamma), random.fill(beta);
  random.fill(dgamma), random.fill(dbeta);
  const std::vector<T> slopes(dy.data(), dy.data() + count);
  const std::vector<float> dgamma_before(dgamma.data(), dgamma.data() + s.channels);
  const std::vector<float> dbeta_before(dbeta.data(), dbeta.data() + s.channels);
  const auto at = [&](int sample, int row, int c) { return (sample * s.rows + row) * s.channels + c; };
  const auto shifted = [&](int sample, int row, int c) {
    return static_cast<double>(to_float(x[at(sample, row, c)])) +
           (s.shift ? to_float(shift[sample * s.channels + c]) : 0.0f);
  };
  for (int i = 0; i < s.samples * s.groups; i++) {
    double mean = 0, variance = 1e-5;
    const auto each = [&](const std::function<void(double)>& body) {
      for (int row = 0; row < s.rows; row++) {
        for (int c = 0; c < width; c++) body(shifted(i / s.groups, row, i % s.groups * width + c));
      }
    };
    each([&](double value) { mean += value / (s.rows * width); });
    each([&](double value) { variance += std::pow(value - mean, 2) / (s.rows * width); });
    stats[2 * i] = static_cast<float>(mean), stats[2 * i + 1] = static_cast<float>(1 / std::sqrt(variance));
  }
  T* to = s.wants_dx ? (s.in_place ? dy.data() : dx.data()) : nullptr;
  launch_group_norm_backward<T>({s.samples, s.rows, s.channels, s.groups, s.silu, dy.data(), x.data(), gamma.data(),
                                 beta.data(), s.shift ? shift.data() : nullptr, stats.data(), to,
                                 s.wants_sums ? dgamma.data() : nullptr, s.wants_sums ? dbeta.data() : nullptr,
                                 workspace.data()},
                                Stream());

  Errors errors;
  std::vector<Sum> gamma_sums(s.channels), beta_sums(s.channels);
  for (int i = 0; i < s.samples * s.groups; i++) {
    const int sample = i / s.groups, first = i % s.groups * width;
    const double mean = stats[2 * i], inverse_std = stats[2 * i + 1];
    const auto z = [&](int row, int c) { return (shifted(sample, row, c) - mean) * inverse_std; };
    const auto du = [&](int row, int c) {
      const double u = z(row, c) * gamma[c] + beta[c], sigmoid = 1 / (1 + std::exp(-u));
      const double slope = to_float(slopes[at(sample, row, c)]);
      return s.silu ? slope * sigmoid * (1 + u * (1 - sigmoid)) : slope;
    };
    Sum sum, sum_z;
    for (int row = 0; row < s.rows; row++) {
      for (int c = first; c < first + width; c++) {
        sum.add(gamma[c] * du(row, c)), sum_z.add(gamma[c] * du(row, c) * z(row, c));
        gamma_sums[c].add(du(row, c) * z(row, c)), beta_sums[c].add(du(row, c));
      }
    }
    const int elements = s.rows * width;
    for (int row = 0; row < s.rows && s.wants_dx; row++) {
      for (int c = first; c < first + width; c++) {
        const double g = gamma[c] * du(row, c), slope = to_float(slopes[at(sample, row, c)]);
        const double expected = (g - sum.value / elements - z(row, c) * sum_z.value / elements) * inverse_std;
        const double size =
            std::fabs(slope * gamma[c]) + (sum.size + (std::fabs(z(row, c)) + 1) * sum_z.size) / elements;
        errors.add(to[at(sample, row, c)], expected, size * inverse_std * 0x1p-21);
      }
    }
  }
  for (int c = 0; c < s.channels && s.wants_sums; c++) {
    errors.add(dgamma[c], dgamma_before[c] + gamma_sums[c].value, (gamma_sums[c].size + 1) * 0x1p-21);
    errors.add(dbeta[c], dbeta_before[c] + beta_sums[c].value, (beta_sums[c].size + 1) * 0x1p-21);
  }
  return errors.worst();
}

template <typename T>
void all() {
  const auto test = [](const char* what, const Shape& s) {
    const std::string name = std::string(kDtypeName<T>) + " " + std::to_string(s.samples) + " x " +
                             std::to_string(s.rows) + " x " + std::to_string(s.channels) + what;
    check(name.c_str(), Mode::strict, [&](Json& line) {
      line.number("error", run<T>(s));
      line.raw("sums", counters_of("group_norm_backward sums"));
      if (s.wants_dx) line.raw("counters", counters_of("group_norm_backward"));
    });
  };
  test("", {1, 96, 320, 32, true, false});    // groups of 10 channels begin inside a piece of 8
  test("", {2, 70, 64, 32, true, true});      // ragged rows, several samples
  test("", {1, 33, 2560, 32, false, false});  // more pieces than threads in f32
  test("", {3, 5, 36, 6, true, true});        // no whole pieces of 8
  test("", {2, 40, 33, 3, true, true});       // nor of 4
  test("", {1, 40, 35, 5, false, false});
  test("", {1, 1, 32, 32, false, false});     // one value a group
  test("", {1, 1100, 32, 4, true, false});    // more blocks than lanes
  test(", in place", {2, 70, 64, 32, true, true, true, true, true});
  test(", dx alone", {1, 96, 320, 32, true, true, true, false});
  test(", sums alone", {2, 40, 64, 8, false, true, false, true});
}

}  // namespace
}  // namespace lorikeet::cuda_sim::test

int main() {
  lorikeet::cuda_sim::test::all<lorikeet::cuda_sim::bf16>();
  lorikeet::cuda_sim::test::all<float>();
}
