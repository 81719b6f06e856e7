// Gradients by weights in the emulator's strict mode against sums in double: thin and wide, one part and several,
// ragged and unaligned shapes, added to what is there.
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
double run(const Shape& s, TileChoice tile) {
  const int dy_stride = s.n + s.padding, x_stride = s.k + s.padding, dw_stride = s.k + s.padding;
  DeviceArray<bf16> dy("dy", static_cast<size_t>(s.rows) * dy_stride, Rights::read);
  DeviceArray<bf16> x("x", static_cast<size_t>(s.rows) * x_stride, Rights::read);
  DeviceArray<float> dw("dw", static_cast<size_t>(s.n) * dw_stride);
  DeviceArray<float> sums("sums", static_cast<size_t>(s.parts) * s.n * s.k);
  Random random(s.rows * 31 + s.n * 7 + s.k);
  random.fill(dy), random.fill(x), random.fill(dw);
  const std::vector<float> before(dw.data(), dw.data() + dw.count());
  const float scale = 0.75f;
  const WeightGrad problem{s.rows,    s.n,   s.k,       dy.data(), dy_stride, x.data(),
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

void all() {
  const auto test = [](const char* name, const Shape& shape, TileChoice tile) {
    check(name, Mode::strict, [&](Json& line) {
      line.number("error", run(shape, tile));
      const auto& counters = sim::Machine::current().counters();
      line.raw("counters", json_of(counters.at("weight_grad")));
      line.number("second", counters.count("weight_grad_add"));
    });
  };
  test("down of rank 16", {512, 16, 128, 4}, TileChoice::t64x64);
  test("up of rank 8", {520, 200, 8, 3}, TileChoice::t64x64);
  test("whole tiles", {96, 128, 128, 1}, TileChoice::t128x128);
  test("whole tiles, 128x64", {128, 128, 64, 1}, TileChoice::t128x64);
  test("ragged, 128x128", {203, 136, 144, 2, 8}, TileChoice::t128x128);
  test("ragged, 128x64", {77, 200, 72, 2, 8}, TileChoice::t128x64);
  test("two groups of rows of tiles", {40, 600, 136, 1, 8}, TileChoice::t64x64);
  test("one row, more parts than rows", {1, 24, 40, 5}, TileChoice::t64x64);
  test("rank 1", {70, 33, 1, 2}, TileChoice::t128x128);
  test("odd everything", {67, 13, 51, 2, 1}, TileChoice::t64x64);

  check("no room", Mode::fast, [](Json& line) {
    try {
      launch_weight_grad({1, 1, 1, nullptr, 1, nullptr, 1, 1.0f, nullptr, 1, 2, nullptr}, TileChoice::t64x64, Stream());
    } catch (const std::invalid_argument& error) {
      line.text("thrown", error.what());
    }
  });
  check("choice", Mode::fast, [](Json& line) {
    line.number("thin", choose_parts(16384, 16, 320, TileChoice::t64x64, 28));
    line.number("short", choose_parts(616, 16, 768, TileChoice::t64x64, 28));
    line.number("wide", choose_parts(16384, 1280, 1280, TileChoice::t128x128, 28));
  });
}

}  // namespace
}  // namespace lorikeet::cuda_sim::test

int main() { lorikeet::cuda_sim::test::all(); }
