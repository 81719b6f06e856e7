// Convolutions and their gradients by the image in the emulator's strict mode against sums in double: strides, padding
// on any side, several samples, adapters, channels that no tile or piece fits, both formats.
#include "cuda/divider.cuh"
#include "cuda/gemm/conv2d.h"

#include "../harness.h"

namespace lorikeet::cuda_sim::test {
namespace {

using sim::Mode;
using sim::Rights;

struct Shape {
  int samples, height, width, channels, outputs, kernel_height, kernel_width, stride;
  int top, bottom, left, right;
  int rank;
};

Convolution convolution_of(const Shape& s) {
  const int out_height = (s.height + s.top + s.bottom - s.kernel_height) / s.stride + 1;
  const int out_width = (s.width + s.left + s.right - s.kernel_width) / s.stride + 1;
  return {s.samples,  s.height,        s.width,        s.channels, out_height, out_width,
          s.outputs, s.kernel_height, s.kernel_width, s.stride,   s.top,      s.left};
}

constexpr float kScale = 0.75f;

// A sum in double, and what a kernel's result may be off by: half a unit in the last of the 8 or 24 bits, and the f32
// sums, far less than a rounding of 2^-24 a term.
template <typename T>
class Reference {
 public:
  void add(double term) { sum_ += term, size_ += std::fabs(term); }
  void add(double factor, T a, T b) { add(factor * to_float(a) * to_float(b)); }
  double error_of(T result) const {
    const double allowed = std::fabs(sum_) * (sizeof(T) == 2 ? 0x1p-8 : 0x1p-24) + size_ * 0x1p-20;
    const double error = std::fabs(to_float(result) - sum_) / allowed;
    if (size_ == 0) return to_float(result) == 0 ? 0 : INFINITY;
    return error == error ? error : INFINITY;
  }

 private:
  double sum_ = 0, size_ = 0;
};

// Calls visit(weight, pixel) for every tap at which a position of the window (numbered through all samples) lies on a
// pixel: the numbers of the tap and of the pixel.
template <class Visit>
void visit_taps(const Convolution& c, int position, const Visit& visit) {
  const int q = position % c.out_width, p = position / c.out_width % c.out_height;
  const int sample = position / c.out_width / c.out_height;
  for (int tap = 0; tap < c.kernel_height * c.kernel_width; tap++) {
    const int y = p * c.stride - c.top + tap / c.kernel_width, x = q * c.stride - c.left + tap % c.kernel_width;
    if (y >= 0 && y < c.height && x >= 0 && x < c.width) visit(tap, (sample * c.height + y) * c.width + x);
  }
}

template <typename T>
double run(const Shape& s, TileChoice tile) {
  const Convolution shape = convolution_of(s);
  const int rows = s.samples * shape.out_height * shape.out_width, taps = s.kernel_height * s.kernel_width;
  DeviceArray<T> x("x", static_cast<size_t>(s.samples) * s.height * s.width * s.channels, Rights::read);
  DeviceArray<T> w("w", static_cast<size_t>(s.outputs) * taps * s.channels, Rights::read);
  DeviceArray<float> bias("bias", s.outputs, Rights::read);
  DeviceArray<T> h("h", static_cast<size_t>(rows) * s.rank + 1, Rights::read);
  DeviceArray<T> up("up", static_cast<size_t>(s.outputs) * s.rank + 1, Rights::read);
  DeviceArray<T> y("y", static_cast<size_t>(rows) * s.outputs);
  Random random(taps * s.channels);
  random.fill(x), random.fill(w), random.fill(bias), random.fill(h), random.fill(up);
  Conv2d<T> problem{shape, x.data(), w.data(), bias.data(), y.data(), {}};
  if (s.rank > 0) problem.ups = {{h.data(), s.rank, up.data(), s.rank, s.rank, 0, s.outputs, kScale}};
  launch_conv2d(problem, tile, Stream());

  double worst = 0;
  for (int row = 0; row < rows; row++) {
    for (int o = 0; o < s.outputs; o++) {
      Reference<T> sum;
      sum.add(bias[o]);
      visit_taps(shape, row, [&](int tap, int pixel) {
        for (int c = 0; c < s.channels; c++) {
          sum.add(1, x[pixel * s.channels + c], w[(o * taps + tap) * s.channels + c]);
        }
      });
      for (int r = 0; r < s.rank; r++) sum.add(kScale, h[row * s.rank + r], up[o * s.rank + r]);
      worst = std::max(worst, sum.error_of(y[row * s.outputs + o]));
    }
  }
  return worst;
}

template <typename T>
double run_grad_input(const Shape& s, TileChoice tile) {
  const Convolution shape = convolution_of(s);
  const int rows = s.samples * shape.out_height * shape.out_width, taps = s.kernel_height * s.kernel_width;
  const size_t pixels = static_cast<size_t>(s.samples) * s.height * s.width;
  DeviceArray<T> dy("dy", static_cast<size_t>(rows) * s.outputs, Rights::read);
  DeviceArray<T> w("w", static_cast<size_t>(s.outputs) * taps * s.channels, Rights::read);
  DeviceArray<T> dh("dh", static_cast<size_t>(rows) * s.rank + 1, Rights::read);
  DeviceArray<T> down("down", static_cast<size_t>(s.rank) * taps * s.channels + 1, Rights::read);
  DeviceArray<T> dx("dx", pixels * s.channels);
  Random random(taps * s.outputs);
  random.fill(dy), random.fill(w), random.fill(dh), random.fill(down);
  for (size_t i = 0; i < dx.count(); i++) dx[i] = from_float<T>(7.0f);  // all of it must be written
  Conv2dGradInput<T> problem{shape, dy.data(), w.data(), dx.data(), {}};
  if (s.rank > 0) problem.downs = {{dh.data(), down.data(), s.rank, kScale}};
  launch_conv2d_grad_input(problem, tile, Stream());

  std::vector<Reference<T>> sums(pixels * s.channels);
  for (int row = 0; row < rows; row++) {
    visit_taps(shape, row, [&](int tap, int pixel) {
      for (int c = 0; c < s.channels; c++) {
        Reference<T>& sum = sums[pixel * s.channels + c];
        for (int o = 0; o < s.outputs; o++) sum.add(1, dy[row * s.outputs + o], w[(o * taps + tap) * s.channels + c]);
        for (int r = 0; r < s.rank; r++) sum.add(kScale, dh[row * s.rank + r], down[(r * taps + tap) * s.channels + c]);
      }
    });
  }
  double worst = 0;
  for (size_t i = 0; i < sums.size(); i++) worst = std::max(worst, sums[i].error_of(dx[i]));
  return worst;
}

// Quotients that are wrong, of those of numbers beside multiples of a divisor.
int wrong_quotients() {
  int wrong = 0;
  for (int divisor : {1, 2, 3, 4, 7, 9, 24, 40, 320, 641, 1280, 4095, 65537, 1 << 20, (1 << 30) - 1, 1 << 30}) {
    const Divider by = divide_by(divisor);
    for (int64_t multiple : {0, 1, 2, 3, 1000, 65535, 0x7fffffff / divisor, 0x7fffffff}) {
      for (int64_t n = multiple * divisor - 1; n <= multiple * divisor + 1; n++) {
        if (n < 0 || n > 0x7fffffff) continue;
        wrong += by.quotient(static_cast<int>(n)) != n / divisor;
      }
    }
  }
  return wrong;
}

template <typename T>
void test(const std::string& name, const Shape& shape, TileChoice tile) {
  check(name.c_str(), Mode::strict, [&](Json& line) {
    line.number("error", run<T>(shape, tile));
    line.raw("counters", json_of(sim::Machine::current().counters().at("conv2d")));
  });
  check((name + ", gradient").c_str(), Mode::strict, [&](Json& line) {
    line.number("error", run_grad_input<T>(shape, tile));
    line.raw("counters", json_of(sim::Machine::current().counters().at("conv2d_grad_input")));
  });
}

void all() {
  test<bf16>("3x3 with an adapter", {2, 7, 9, 16, 24, 3, 3, 1, 1, 1, 1, 1, 8}, TileChoice::t64x64);
  test<bf16>("3x3 of 32 channels, 128x128", {1, 12, 12, 32, 136, 3, 3, 1, 1, 1, 1, 1, 16}, TileChoice::t128x128);
  test<bf16>("3x3 of 40 channels, 128x64", {1, 12, 11, 40, 64, 3, 3, 1, 1, 1, 1, 1, 0}, TileChoice::t128x64);
  test<bf16>("stride 2", {2, 9, 8, 24, 32, 3, 3, 2, 1, 1, 1, 1, 32}, TileChoice::t64x64);
  test<bf16>("stride 2, zeros below and right only", {1, 8, 8, 16, 16, 3, 3, 2, 0, 1, 0, 1, 0}, TileChoice::t64x64);
  test<bf16>("1x1 with stride", {1, 9, 9, 64, 16, 1, 1, 3, 0, 0, 0, 0, 0}, TileChoice::t64x64);
  test<bf16>("5x2, wide padding", {1, 6, 5, 8, 8, 5, 2, 1, 4, 3, 2, 1, 0}, TileChoice::t64x64);
  test<bf16>("4 channels", {2, 8, 8, 4, 64, 3, 3, 1, 1, 1, 1, 1, 8}, TileChoice::t128x128);
  test<bf16>("3 channels to 5, rank 3", {1, 7, 6, 3, 5, 3, 3, 1, 1, 1, 1, 1, 3}, TileChoice::t64x64);
  test<bf16>("stride 2 of 40 channels to 136, 128x128", {1, 13, 12, 40, 136, 3, 3, 2, 1, 1, 1, 1, 8},
             TileChoice::t128x128);
  test<bf16>("stride 2 of 144 channels, 128x64", {1, 12, 12, 144, 24, 3, 3, 2, 1, 1, 1, 1, 0}, TileChoice::t128x64);
  test<bf16>("stride 2 of 3 channels, rank 2", {1, 7, 6, 3, 5, 3, 3, 2, 1, 1, 1, 1, 2}, TileChoice::t64x64);
  test<bf16>("3x3 to a rank", {2, 7, 9, 16, 8, 3, 3, 1, 1, 1, 1, 1, 0}, TileChoice::t32x16);
  test<float>("f32, 3x3 with an adapter", {2, 7, 9, 8, 24, 3, 3, 1, 1, 1, 1, 1, 4}, TileChoice::t64x64);
  test<float>("f32, 3x3 of 12 channels, 128x64", {1, 12, 11, 12, 72, 3, 3, 1, 1, 1, 1, 1, 0}, TileChoice::t128x64);
  test<float>("f32, stride 2 of 3 channels, rank 2", {1, 7, 6, 3, 5, 3, 3, 2, 0, 1, 1, 1, 2}, TileChoice::t64x64);

  check("division", Mode::fast, [](Json& line) { line.number("wrong", wrong_quotients()); });
}

}  // namespace
}  // namespace lorikeet::cuda_sim::test

int main() { lorikeet::cuda_sim::test::all(); }
