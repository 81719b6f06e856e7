// Gradients by weights in the emulator's strict mode against sums in double: both formats, thin and wide, one part and
// several, ragged and unaligned shapes, convolutions, added to what is there.
#include "cuda/gemm/weight_grad.h"

#include "../harness.h"

namespace lorikeet::cuda_sim::test {
namespace {

using sim::Mode;
using sim::Rights;

struct Shape {
  int rows, n, k, parts;
  int padding = 0;  // elements between the rows of dy, x and dw
};

// The largest error, in units of what roundings of f32 sums may make: far less than one of 2^-24 a term.
template <typename T>
double run(const Shape& s, TileChoice tile) {
  const int dy_stride = s.n + s.padding, x_stride = s.k + s.padding, dw_stride = s.k + s.padding;
  DeviceArray<T> dy("dy", static_cast<size_t>(s.rows) * dy_stride, Rights::read);
  DeviceArray<T> x("x", static_cast<size_t>(s.rows) * x_stride, Rights::read);
  DeviceArray<float> dw("dw", static_cast<size_t>(s.n) * dw_stride);
  DeviceArray<float> sums("sums", static_cast<size_t>(s.parts) * s.n * s.k);
  Random random(s.rows * 31 + s.n * 7 + s.k);
  random.fill(dy), random.fill(x), random.fill(dw);
  const std::vector<float> before(dw.data(), dw.data() + dw.count());
  const float scale = 0.75f;
  const WeightGrad<T> problem{s.rows,    s.n,   s.k,       dy.data(), dy_stride, x.data(),
                           x_stride, scale, dw.data(), dw_stride, s.parts,   s.parts > 1 ? sums.data() : nullptr};
  launch_weight_grad(problem, tile, Stream());

  double worst = 0;
  for (int row = 0; row < s.n; row++) {
    for (int column = 0; column < dw_stride; column++) {
      const int i = row * dw_stride + column;
      double sum = before[i], size = std::fabs(sum);
      for (int r = 0; r < s.rows && column < s.k; r++) {
        const double term =
            static_cast<double>(scale) * to_float(dy[r * dy_stride + row]) * to_float(x[r * x_stride + column]);
        sum += term, size += std::fabs(term);
      }
      const double error = std::fabs(dw[i] - sum) / (column < s.k ? size * 0x1p-20 : 0x1p-149);
      worst = std::max(worst, error == error ? error : INFINITY);
    }
  }
  return worst;
}

struct Image {
  int samples, height, width, channels, outputs, kernel_height, kernel_width, stride;
  int top, bottom, left, right;
  int parts;
};

template <typename T>
double run_conv2d(const Image& s, TileChoice tile) {
  const int out_height = (s.height + s.top + s.bottom - s.kernel_height) / s.stride + 1;
  const int out_width = (s.width + s.left + s.right - s.kernel_width) / s.stride + 1;
  const int positions = s.samples * out_height * out_width, taps = s.kernel_height * s.kernel_width;
  DeviceArray<T> dy("dy", static_cast<size_t>(positions) * s.outputs, Rights::read);
  DeviceArray<T> x("x", static_cast<size_t>(s.samples) * s.height * s.width * s.channels, Rights::read);
  DeviceArray<float> dw("dw", static_cast<size_t>(s.outputs) * taps * s.channels);
  DeviceArray<float> sums("sums", s.parts * dw.count());
  Random random(positions * 7 + s.channels);
  random.fill(dy), random.fill(x), random.fill(dw);
  const std::vector<float> before(dw.data(), dw.data() + dw.count());
  const float scale = -1.25f;
  const Convolution shape{s.samples, s.height,        s.width,        s.channels, out_height, out_width,
                          s.outputs, s.kernel_height, s.kernel_width, s.stride,   s.top,      s.left};
  const Conv2dWeightGrad<T> problem{shape, dy.data(), x.data(), scale, dw.data(), s.parts, sums.data()};
  launch_conv2d_weight_grad(problem, tile, Stream());

  double worst = 0;
  for (size_t i = 0; i < dw.count(); i++) {
    const int channel = i % s.channels, tap = i / s.channels % taps, output = i / s.channels / taps;
    double sum = before[i], size = std::fabs(sum);
    for (int position = 0; position < positions; position++) {
      const int y = position / out_width % out_height * s.stride - s.top + tap / s.kernel_width;
      const int column = position % out_width * s.stride - s.left + tap % s.kernel_width;
      if (y < 0 || y >= s.height || column < 0 || column >= s.width) continue;
      const int pixel = (position / out_width / out_height * s.height + y) * s.width + column;
      const double term = static_cast<double>(scale) * to_float(dy[position * s.outputs + output]) *
                          to_float(x[pixel * s.channels + channel]);
      sum += term, size += std::fabs(term);
    }
    const double error = std::fabs(dw[i] - sum) / (size * 0x1p-20);
    worst = std::max(worst, error == error ? error : INFINITY);
  }
  return worst;
}

template <class Run>
void test(const char* name, const Run& run) {
  check(name, Mode::strict, [&](Json& line) {
    line.number("error", run());
    const auto& counters = sim::Machine::current().counters();
    line.raw("counters", json_of(counters.at("weight_grad")));
    line.number("second", counters.count("weight_grad_add"));
  });
}

void all() {
  constexpr TileChoice t128x128 = TileChoice::t128x128, t128x64 = TileChoice::t128x64, t64x64 = TileChoice::t64x64;
  constexpr TileChoice t32x16 = TileChoice::t32x16;
  const auto linear = [](const char* name, const Shape& shape, TileChoice tile) {
    test(name, [&] { return run<bf16>(shape, tile); });
  };
  linear("down of rank 16", {512, 16, 128, 4}, t64x64);
  linear("up of rank 8", {520, 200, 8, 3}, t64x64);
  linear("up of rank 16", {520, 200, 16, 3}, t32x16);
  linear("up of rank 8, an h of 24", {256, 128, 8, 1, 16}, t32x16);
  linear("whole tiles", {96, 128, 128, 1}, t128x128);
  linear("whole tiles, 128x64", {128, 128, 64, 1}, t128x64);
  linear("ragged, 128x128", {203, 136, 144, 2, 8}, t128x128);
  linear("ragged, 128x64", {77, 200, 72, 2, 8}, t128x64);
  linear("two groups of rows of tiles", {40, 600, 136, 1, 8}, t64x64);
  linear("one row, more parts than rows", {1, 24, 40, 5}, t64x64);
  linear("rank 1", {70, 33, 1, 2}, t128x128);
  linear("odd everything", {67, 13, 51, 2, 1}, t64x64);
  linear("odd columns of a wider gradient", {67, 16, 51, 1, 5}, t64x64);
  test("f32, whole tiles, 128x64", [] { return run<float>({96, 128, 64, 1}, t128x64); });
  test("f32, ragged, 64x64", [] { return run<float>({203, 136, 144, 2, 8}, t64x64); });
  test("f32, odd everything", [] { return run<float>({67, 13, 51, 2, 1}, t128x64); });

  const auto conv2d = [](const char* name, const Image& image, TileChoice tile) {
    test(name, [&] { return run_conv2d<bf16>(image, tile); });
  };
  conv2d("3x3", {2, 7, 9, 16, 24, 3, 3, 1, 1, 1, 1, 1, 2}, t64x64);
  conv2d("3x3, 128x128", {1, 12, 11, 24, 136, 3, 3, 1, 1, 1, 1, 1, 3}, t128x128);
  conv2d("3x3, 128x64", {1, 10, 11, 40, 72, 3, 3, 1, 1, 1, 1, 1, 1}, t128x64);
  conv2d("3x3 of a rank's 8, stride 2", {2, 9, 8, 32, 8, 3, 3, 2, 1, 1, 1, 1, 1}, t64x64);
  conv2d("stride 2, zeros below and right only", {1, 8, 8, 16, 16, 3, 3, 2, 0, 1, 0, 1, 1}, t64x64);
  conv2d("3x2 of 3 channels to 5", {1, 7, 6, 3, 5, 3, 2, 1, 0, 2, 1, 0, 2}, t32x16);
  const auto conv2d_f32 = [](const char* name, const Image& image, TileChoice tile) {
    test(name, [&] { return run_conv2d<float>(image, tile); });
  };
  conv2d_f32("f32, 3x3", {2, 7, 9, 8, 24, 3, 3, 1, 1, 1, 1, 1, 2}, t64x64);
  conv2d_f32("f32, stride 2, 128x64", {1, 13, 12, 12, 72, 3, 3, 2, 0, 1, 1, 1, 1}, t128x64);
  conv2d_f32("f32, 3x2 of 3 channels to 5", {1, 7, 6, 3, 5, 3, 2, 1, 0, 2, 1, 0, 2}, t64x64);

  check("no room", Mode::fast, [](Json& line) {
    try {
      launch_weight_grad<bf16>({128, 1, 1, nullptr, 1, nullptr, 1, 1.0f, nullptr, 1, 2, nullptr}, t64x64, Stream());
    } catch (const std::invalid_argument& error) {
      line.text("thrown", error.what());
    }
  });
  check("choice", Mode::fast, [](Json& line) {
    line.number("thin", choose_parts<bf16>(16384, 16, 320, t64x64));
    line.number("short", choose_parts<bf16>(616, 16, 768, t64x64));
    line.number("wide", choose_parts<bf16>(16384, 1280, 1280, t128x128));
  });
}

}  // namespace
}  // namespace lorikeet::cuda_sim::test

int main() { lorikeet::cuda_sim::test::all(); }
