// The matrix product in the emulator's strict mode against sums in double: every tile, both layouts of w, adapters on
// all and on some columns, ragged and unaligned shapes.
#include "cuda/gemm/matmul.h"

#include "../harness.h"

namespace lorikeet::cuda_sim::test {
namespace {

using sim::Mode;
using sim::Rights;

struct Part {
  int rank, column, columns;
  float scale;
};

struct Shape {
  int m, n, k;
  std::vector<Part> parts;
  int padding = 0;  // elements between the rows of x and y
  bool bias = true;
};

struct Up {
  DeviceArray<bf16> h, up;
  Part part;
};

// The largest error, in units of what one rounding to bf16 of the exact result, and roundings of f32 sums, may make.
double run(const Shape& s, BLayout layout, TileChoice tile) {
  const bool transposed = layout == BLayout::n_contiguous;
  const int x_stride = s.k + s.padding, y_stride = s.n + s.padding;
  DeviceArray<bf16> x("x", static_cast<size_t>(s.m) * x_stride, Rights::read);
  DeviceArray<bf16> w("w", static_cast<size_t>(s.n) * s.k, Rights::read);
  DeviceArray<float> bias("bias", s.n, Rights::read);
  DeviceArray<bf16> y("y", static_cast<size_t>(s.m) * y_stride);
  Random random(s.m * 31 + s.n * 7 + s.k);
  random.fill(x), random.fill(w), random.fill(bias);
  Matmul problem{s.m, s.n,    s.k,
                 x.data(), x_stride, w.data(), transposed ? s.n : s.k, layout, s.bias ? bias.data() : nullptr,
                 y.data(), y_stride, {}};
  std::vector<Up> ups;
  for (const Part& part : s.parts) {
    const std::string number = std::to_string(ups.size());
    const size_t up_count = static_cast<size_t>(part.columns) * part.rank;
    ups.push_back({DeviceArray<bf16>("h" + number, static_cast<size_t>(s.m) * part.rank, Rights::read),
                   DeviceArray<bf16>("up" + number, up_count, Rights::read), part});
    random.fill(ups.back().h), random.fill(ups.back().up);
    problem.ups.push_back({ups.back().h.data(), part.rank, ups.back().up.data(), transposed ? part.columns : part.rank,
                           part.rank, part.column, part.columns, part.scale});
  }
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
      for (const Up& u : ups) {
        const int c = column - u.part.column;
        if (c < 0 || c >= u.part.columns) continue;
        for (int r = 0; r < u.part.rank; r++) {
          add(static_cast<double>(u.part.scale) * to_float(u.h[row * u.part.rank + r]) *
              to_float(transposed ? u.up[r * u.part.columns + c] : u.up[c * u.part.rank + r]));
        }
      }
      // Half a unit in the last of the 8 bits of bf16, and the f32 sums: far less than a rounding of 2^-24 a term.
      const double allowed = std::fabs(sum) * 0x1p-8 + size * 0x1p-20;
      worst = std::max(worst, std::fabs(to_float(y[row * y_stride + column]) - sum) / allowed);
    }
    for (int column = s.n; column < y_stride; column++) {
      if (y[row * y_stride + column].bits != 0) worst = INFINITY;  // written beside the row
    }
  }
  return worst;
}

void all() {
  const TileChoice tiles[] = {TileChoice::t128x128, TileChoice::t128x64, TileChoice::t64x64};
  const char* tile_names[] = {"128x128", "128x64", "64x64"};
  const auto test = [&](const char* name, const Shape& shape, int first, int last) {
    for (int tile = first; tile <= last; tile++) {
      for (BLayout layout : {BLayout::k_contiguous, BLayout::n_contiguous}) {
        const std::string title = std::string(name) + ", " + tile_names[tile] +
                                  (layout == BLayout::k_contiguous ? ", k contiguous" : ", n contiguous");
        check(title.c_str(), Mode::strict, [&](Json& line) {
          line.number("error", run(shape, layout, tiles[tile]));
          line.raw("counters", json_of(sim::Machine::current().counters().at("matmul")));
        });
      }
    }
  };
  test("whole tiles", {128, 128, 96, {{16, 0, 128, 0.75f}}}, 0, 2);
  test("ragged", {136, 200, 104, {{8, 0, 200, 1.5f}}, 8}, 0, 2);
  test("no adapter, no bias", {40, 72, 64, {}, 0, false}, 2, 2);
  test("q, k, v", {72, 192, 40, {{8, 0, 64, 2.0f}, {24, 64, 64, 0.5f}, {40, 128, 64, 2.0f}}}, 0, 2);
  test("several adapters", {65, 64, 32, {{64, 0, 64, 1.0f}, {16, 0, 64, 3.0f}, {32, 16, 24, 0.25f}}}, 2, 2);
  test("one row", {1, 64, 320, {{128, 0, 64, 1.0f}}}, 1, 1);
  test("rank 1", {33, 64, 64, {{1, 0, 64, 4.0f}}}, 0, 0);
  test("odd everything", {37, 51, 45, {{3, 0, 51, 1.0f}, {5, 7, 13, 0.5f}}, 1}, 2, 2);
  test("no reduction", {16, 16, 0, {{8, 0, 16, 1.0f}}, 8}, 2, 2);

  // How the chosen tile follows the size of the output and the card.
  check("choice", Mode::fast, [&](Json& line) {
    line.number("large", static_cast<int>(choose_tile(4096, 1280, 28)));
    line.number("small", static_cast<int>(choose_tile(77, 320, 28)));
  });
}

}  // namespace
}  // namespace lorikeet::cuda_sim::test

int main() { lorikeet::cuda_sim::test::all(); }
