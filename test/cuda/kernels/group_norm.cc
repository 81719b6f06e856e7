#include "cuda/kernels/group_norm.h"

#include "reference.h"

namespace lorikeet::cuda_sim::test {
namespace {

using sim::Mode;
using sim::Rights;

struct Shape {
  int samples, rows, channels, groups;
  bool silu, shift;
  float offset;
};

template <typename T>
double run(const Shape& s) {
  const size_t count = static_cast<size_t>(s.samples) * s.rows * s.channels;
  DeviceArray<T> x("x", count, Rights::read), y("y", count);
  DeviceArray<T> shift("shift", static_cast<size_t>(s.samples) * s.channels, Rights::read);
  DeviceArray<float> gamma("gamma", s.channels, Rights::read), beta("beta", s.channels, Rights::read);
  DeviceArray<float> stats("stats", static_cast<size_t>(s.samples) * s.groups * 2);
  DeviceArray<float> workspace("workspace", group_norm_workspace(s.samples, s.rows, s.groups));
  Random random(s.channels);
  random.fill(x, 1.0f, s.offset), random.fill(shift), random.fill(gamma), random.fill(beta);
  const float eps = 1e-5f;
  launch_group_norm<T>({s.samples, s.rows, s.channels, s.groups, eps, s.silu, x.data(), gamma.data(), beta.data(),
                        s.shift ? shift.data() : nullptr, y.data(), stats.data(), workspace.data()},
                       Stream());

  Errors errors;
  const int width = s.channels / s.groups;
  for (int sample = 0; sample < s.samples; sample++) {
    for (int group = 0; group < s.groups; group++) {
      const auto at = [&](int row, int c) { return (sample * s.rows + row) * s.channels + group * width + c; };
      const auto z = [&](int row, int c) {
        const double own = to_float(x[at(row, c)]);
        return s.shift ? own + to_float(shift[sample * s.channels + group * width + c]) : own;
      };
      double mean = 0, variance = 0;
      const double n = static_cast<double>(s.rows) * width;
      for (int row = 0; row < s.rows; row++) {
        for (int c = 0; c < width; c++) mean += z(row, c) / n;
      }
      for (int row = 0; row < s.rows; row++) {
        for (int c = 0; c < width; c++) variance += std::pow(z(row, c) - mean, 2) / n;
      }
      const double inverse_std = 1 / std::sqrt(variance + eps);
      const double slack = (1 + std::fabs(mean)) * 0x1p-20;
      const int stat = 2 * (sample * s.groups + group);
      errors.add(stats[stat], mean, slack);
      errors.add(stats[stat + 1], inverse_std, inverse_std * slack);
      for (int row = 0; row < s.rows; row++) {
        for (int c = 0; c < width; c++) {
          const double u = (z(row, c) - mean) * inverse_std * gamma[group * width + c] + beta[group * width + c];
          errors.add(y[at(row, c)], s.silu ? u / (1 + std::exp(-u)) : u, inverse_std * slack);
        }
      }
    }
  }
  return errors.worst();
}

template <typename T>
void all() {
  const Shape shapes[] = {
      {1, 96, 320, 32, true, false, 0},   // groups of 10 channels begin inside a piece of 8
      {2, 70, 64, 32, true, true, 20},    // ragged rows, several samples, large mean
      {1, 33, 2560, 32, false, false, 0}, // more pieces than threads in f32
      {3, 5, 36, 6, true, true, 0},       // no whole pieces of 8
      {2, 40, 33, 3, true, true, 0},      // nor of 4
      {1, 40, 35, 5, false, false, 0},
      {1, 1, 32, 32, false, false, 0},    // one value a group
      {1, 1100, 32, 4, true, false, 5},   // more blocks than lanes
  };
  for (const Shape& s : shapes) {
    const std::string name = std::string(kDtypeName<T>) + " " + std::to_string(s.samples) + " x " +
                             std::to_string(s.rows) + " x " + std::to_string(s.channels);
    check(name.c_str(), Mode::strict, [&](Json& line) {
      line.number("error", run<T>(s));
      line.raw("counters", counters_of("group_norm apply"));
      line.raw("moments", counters_of("group_norm moments"));
      line.raw("stats", counters_of("group_norm stats"));
    });
  }
}

}  // namespace
}  // namespace lorikeet::cuda_sim::test

int main() {
  lorikeet::cuda_sim::test::all<lorikeet::cuda_sim::bf16>();
  lorikeet::cuda_sim::test::all<float>();
}
