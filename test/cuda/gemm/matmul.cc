// The matrix product in the emulator's strict mode against sums in double: both formats, every tile, both layouts of w,
// adapters on all and on some columns, ragged and unaligned shapes.
#include "cuda/gemm/matmul.h"

#include <cstring>

#include "adapters.h"

namespace lorikeet::cuda_sim::test {
namespace {

using sim::Mode;
using sim::Rights;

struct Shape {
  int m, n, k;
  std::vector<Part> parts;
  int padding = 0;  // elements between the rows of x and y
  bool bias = true;
};

// The largest error, in units of what one rounding of the exact result, and roundings of f32 sums, may make.
template <typename T>
double run(const Shape& s, BLayout layout, TileChoice tile) {
  const bool transposed = layout == BLayout::n_contiguous;
  const int x_stride = s.k + s.padding, y_stride = s.n + s.padding;
  DeviceArray<T> x("x", static_cast<size_t>(s.m) * x_stride, Rights::read);
  DeviceArray<T> w("w", static_cast<size_t>(s.n) * s.k, Rights::read);
  DeviceArray<float> bias("bias", s.n, Rights::read);
  DeviceArray<T> y("y", static_cast<size_t>(s.m) * y_stride);
  Random random(s.m * 31 + s.n * 7 + s.k);
  random.fill(x), random.fill(w), random.fill(bias);
  Matmul<T> problem{s.m, s.n,    s.k,
                 x.data(), x_stride, w.data(), transposed ? s.n : s.k, layout, s.bias ? bias.data() : nullptr,
                 y.data(), y_stride, {}};
  std::vector<Up<T>> ups;
  for (const Part& part : s.parts) add_up(problem, part, random, ups);
  launch_matmul(problem, tile, Stream());

  double worst = 0;
  for (int row = 0; row < s.m; row++) {
    for (int column = 0; column < s.n; column++) {
      double sum = s.bias ? bias[column] : 0, size = std::fabs(sum);
      const auto add = [&](double term) { sum += term, size += std::fabs(term); };
      for (int k = 0; k < s.k; k++) {
        add(static_cast<double>(to_float(x[row * x_stride + k])) *
            to_float(transposed ? w[k * s.n + column] : w[column * s.k + k]));
      }
      for (const Up<T>& u : ups) {
        const int c = column - u.part.column;
        if (c < 0 || c >= u.part.columns) continue;
        for (int r = 0; r < u.part.rank; r++) {
          add(static_cast<double>(u.part.scale) * to_float(u.h[row * u.part.rank + r]) *
              to_float(transposed ? u.up[r * u.part.columns + c] : u.up[c * u.part.rank + r]));
        }
      }
      // Half a unit in the last of the 8 or 24 bits, and the f32 sums: far less than a rounding of 2^-24 a term.
      const double allowed = std::fabs(sum) * (sizeof(T) == 2 ? 0x1p-8 : 0x1p-24) + size * 0x1p-20;
      worst = std::max(worst, std::fabs(to_float(y[row * y_stride + column]) - sum) / allowed);
    }
    for (int column = s.n; column < y_stride; column++) {
      if (to_float(y[row * y_stride + column]) != 0) worst = INFINITY;  // written beside the row
    }
  }
  return worst;
}

// Elements whose bits differ between the narrowest tile and the widest. Three adapters have columns of their own, and w is
// their product with the other sign, so that nothing but roundings is left: a tile that reaches over all three must not
// round otherwise than one that sees a single scale.
int count_differences() {
  constexpr int m = 48, part = 48, rank = 8, n = 3 * part;
  DeviceArray<bf16> x("x", m * rank, Rights::read), w("w", n * rank, Rights::read), up("up", n * rank, Rights::read);
  DeviceArray<bf16> wide("wide", m * n), narrow("narrow", m * n);
  Random random(1);
  random.fill(x);
  const float scales[] = {0.69921875f, -0.30078125f, 1.1015625f};  // exact in bf16, unlike their quotients
  for (int i = 0; i < n * rank; i++) {
    const float sign = random.next() < 0 ? -1.0f : 1.0f;
    up[i] = from_float<bf16>(sign);
    w[i] = from_float<bf16>(-sign * scales[i / (part * rank)]);
  }
  for (const auto& [y, tile] : {std::pair(wide.data(), TileChoice::t128x128), {narrow.data(), TileChoice::t32x16}}) {
    Matmul<bf16> problem{m, n, rank, x.data(), rank, w.data(), rank, BLayout::k_contiguous, nullptr, y, n, {}};
    for (int i = 0; i < 3; i++) {
      problem.ups.push_back({x.data(), rank, up.data() + i * part * rank, rank, rank, i * part, part, scales[i]});
    }
    launch_matmul(problem, tile, Stream());
  }
  int differences = 0;
  for (int i = 0; i < m * n; i++) differences += std::memcmp(&wide[i], &narrow[i], sizeof(bf16)) != 0;
  return differences;
}

template <typename T>
void test(const std::string& name, const Shape& shape, TileChoice tile) {
  for (BLayout layout : {BLayout::k_contiguous, BLayout::n_contiguous}) {
    const std::string title = name + (layout == BLayout::k_contiguous ? ", k contiguous" : ", n contiguous");
    check(title.c_str(), Mode::strict, [&](Json& line) {
      line.number("error", run<T>(shape, layout, tile));
      line.raw("counters", json_of(sim::Machine::current().counters().at("matmul")));
    });
  }
}

void all() {
  constexpr TileChoice t128x128 = TileChoice::t128x128, t128x64 = TileChoice::t128x64, t64x64 = TileChoice::t64x64;
  const auto in_all_tiles = [](const std::string& name, const Shape& shape) {
    test<bf16>(name + ", 128x128", shape, t128x128);
    test<bf16>(name + ", 128x64", shape, t128x64);
    test<bf16>(name + ", 64x64", shape, t64x64);
    test<bf16>(name + ", 32x16", shape, TileChoice::t32x16);
    test<float>(name + ", f32, 128x64", shape, t128x64);
    test<float>(name + ", f32, 64x64", shape, t64x64);
  };
  in_all_tiles("whole tiles", {128, 128, 96, {{16, 0, 128, 0.75f}}});
  in_all_tiles("ragged", {136, 200, 104, {{8, 0, 200, 1.5f}}, 8});
  in_all_tiles("q, k, v", {72, 192, 40, {{8, 0, 64, 2.0f}, {24, 64, 64, 0.5f}, {40, 128, 64, 2.0f}}});
  test<bf16>("no adapter, no bias", {40, 72, 64, {}, 0, false}, t64x64);
  test<bf16>("several adapters", {65, 64, 32, {{64, 0, 64, 1.0f}, {16, 0, 64, 3.0f}, {32, 16, 24, 0.25f}}}, t64x64);
  test<bf16>("one row", {1, 64, 320, {{128, 0, 64, 1.0f}}}, t128x64);
  test<bf16>("rank 1", {33, 64, 64, {{1, 0, 64, 4.0f}}}, t128x128);
  test<bf16>("odd everything", {37, 51, 45, {{3, 0, 51, 1.0f}, {5, 7, 13, 0.5f}}, 1}, t64x64);
  test<bf16>("no reduction", {16, 16, 0, {{8, 0, 16, 1.0f}}, 8}, t64x64);
  test<float>("f32, several adapters", {65, 64, 32, {{6, 0, 64, 1.0f}, {2, 16, 24, 0.25f}}}, t64x64);
  test<float>("f32, odd everything", {37, 51, 45, {{3, 0, 51, 1.0f}, {5, 7, 13, 0.5f}}, 1}, t128x64);

  check("scales", Mode::strict, [&](Json& line) { line.number("differences", count_differences()); });

  // As many ups as the launch has room for, and one more.
  const std::vector<Part> parts(kMaxSegments - 1, {8, 0, 16, 0.5f});
  test<bf16>("a pile of adapters", {16, 16, 32, parts}, t64x64);
  check("too many", Mode::fast, [&](Json& line) {
    std::vector<Part> more = parts;
    more.push_back(parts[0]);
    try {
      run<bf16>({16, 16, 32, more}, BLayout::k_contiguous, t64x64);
    } catch (const std::invalid_argument& error) {
      line.text("thrown", error.what());
    }
  });
}

}  // namespace
}  // namespace lorikeet::cuda_sim::test

int main() { lorikeet::cuda_sim::test::all(); }
