// Products that open their weight on the way, in the emulator's strict mode: bit by bit what the same sums in the same
// order give with the weight as the CPU opens it. Both layouts, every storage, adapters, few and more rows than a tile
// has, ragged ones.
#include "cuda/gemm/stored_matmul.h"

#include <cstring>

#include "native/core/quantise.cc"
#include "native/core/tensor.cc"
#include "../kernels/reference.h"
#include "adapters.h"

namespace lorikeet::cuda_sim::test {
namespace {

using sim::Mode;
using sim::Rights;

struct Case {
  const char* name;
  int m;
  Shape weight;
  std::vector<Part> parts;
  int padding = 0;  // elements between the rows of x and y
};

struct Result {
  int different = 0, other_than_zero = 0;
};

// Rows of different sizes, one of zeros among them.
std::vector<float> values_of(const Shape& shape) {
  std::vector<float> values(static_cast<size_t>(elements_of(shape)));
  const float sizes[] = {1.0f, 0.02f, 0.0f, 300.0f, 0x1p-140f};
  Random random(7);
  for (size_t i = 0; i < values.size(); i++) {
    values[i] = random.next() * sizes[i * static_cast<size_t>(shape[0]) / values.size() % 5];
  }
  return values;
}

bool same(bf16 a, bf16 b) { return std::memcmp(&a, &b, sizeof a) == 0; }

Result run(const Case& c, Storage storage, BLayout layout) {
  const bool transposed = layout == BLayout::n_contiguous;
  const int rows = static_cast<int>(c.weight[0]), columns = static_cast<int>(elements_of(c.weight)) / rows;
  const int n = transposed ? columns : rows, k = transposed ? rows : columns;
  const int x_stride = k + c.padding, y_stride = n + c.padding;
  DeviceArray<bf16> x("x", static_cast<size_t>(c.m) * x_stride, Rights::read);
  DeviceArray<uint32_t> stored("stored", static_cast<size_t>(stored_layout(storage, c.weight).bytes / 4), Rights::read);
  DeviceArray<float> bias("bias", n, Rights::read);
  DeviceArray<bf16> y("y", static_cast<size_t>(c.m) * y_stride);
  Random random(c.m * 31 + n * 7 + k);
  random.fill(x), random.fill(bias);
  quantise(values_of(c.weight).data(), storage, c.weight, stored.data());
  std::vector<bf16> w(static_cast<size_t>(rows) * columns);
  dequantise(stored.data(), storage, c.weight, DType::bf16, w.data());

  Matmul<bf16> problem{c.m, n, k, x.data(), x_stride, nullptr, 0, layout, bias.data(), y.data(), y_stride, {}};
  std::vector<Up<bf16>> ups;
  for (Part part : c.parts) {
    part.columns = std::min(part.columns, n - part.column);
    add_up(problem, part, random, ups);
  }
  launch_stored_matmul(problem, {stored.data(), storage, c.weight}, Stream());

  Result result;
  for (int row = 0; row < c.m; row++) {
    for (int column = 0; column < n; column++) {
      float sum = 0;
      for (size_t u = 0; u < ups.size(); u++) {
        const Part& part = ups[u].part;
        const int at = column - part.column;
        for (int r = 0; r < part.rank && at >= 0 && at < part.columns; r++) {
          const bf16 up = ups[u].up[transposed ? r * part.columns + at : at * part.rank + r];
          sum += to_float(ups[u].h[row * part.rank + r]) * to_float(up);
        }
        const float next = u + 1 < ups.size() ? ups[u + 1].part.scale : 1.0f;
        if (next != part.scale) sum = sum * (part.scale / next) + 0.0f;
      }
      for (int i = 0; i < k; i++) {
        const int at = transposed ? i * columns + column : column * columns + i;
        sum += to_float(x[row * x_stride + i]) * to_float(w[static_cast<size_t>(at)]);
      }
      const bf16 expected = from_float<bf16>(sum + bias[column]), got = y[row * y_stride + column];
      result.different += !same(got, expected);
      result.other_than_zero += to_float(got) != 0;
    }
    for (int column = n; column < y_stride; column++) result.different += !same(y[row * y_stride + column], bf16{});
  }
  return result;
}

void test(const Case& c) {
  for (const Storage storage : {Storage::nf4, Storage::int8, Storage::fp8}) {
    for (const BLayout layout : {BLayout::k_contiguous, BLayout::n_contiguous}) {
      const std::string name = std::string(c.name) + ", " + name_of(storage) +
                               (layout == BLayout::k_contiguous ? ", k contiguous" : ", n contiguous");
      check(name.c_str(), Mode::strict, [&](Json& line) {
        const Result result = run(c, storage, layout);
        line.number("different", result.different).number("otherThanZero", result.other_than_zero);
        line.raw("counters", counters_of("stored_matmul"));
      });
    }
  }
}

// What is taken as it is stored, and what comes opened.
void test_rule() {
  check("rule", Mode::fast, [](Json& line) {
    const auto ask = [&](const char* key, Storage storage, const Shape& shape, DType dtype, int64_t rows) {
      line.number(key, opens_on_the_way(storage, shape, dtype, rows));
    };
    ask("few", Storage::nf4, {320, 768}, DType::bf16, 77);
    ask("most", Storage::int8, {320, 768}, DType::bf16, kMostRows);
    ask("pixel", Storage::fp8, {320, 1, 1, 64}, DType::bf16, 1);
    ask("more", Storage::nf4, {320, 768}, DType::bf16, kMostRows + 1);
    ask("plain", Storage::plain, {320, 768}, DType::bf16, 77);
    ask("f32", Storage::nf4, {320, 768}, DType::f32, 77);
    ask("shortRows", Storage::fp8, {320, 96}, DType::bf16, 77);
    ask("huge", Storage::fp8, {1 << 20, 2048}, DType::bf16, 77);
  });
  check("refused", Mode::fast, [](Json& line) {
    try {
      launch_stored_matmul({1, 8, 96, nullptr, 96, nullptr, 0, BLayout::k_contiguous, nullptr, nullptr, 8, {}},
                           {nullptr, Storage::nf4, {8, 96}}, Stream());
    } catch (const Error& error) {
      line.text("thrown", error.what());
    }
  });
}

void all() {
  constexpr int kAll = 1 << 20;
  test_rule();
  test({"whole tiles", 96, {64, 128}, {{16, 0, kAll, 0.75f}}});
  test({"77 rows", 77, {40, 192}, {{8, 0, 24, 2.0f}, {72, 16, kAll, 0.3f}, {24, 8, 16, 2.0f}}, 8});
  test({"more rows than a tile", 100, {97, 64}, {{3, 0, kAll, 1.5f}}, 1});
  test({"one row", 1, {130, 64}, {{8, 0, kAll, 0.7f}, {1, 8, 40, -0.3f}}});
  test({"as many rows as a flat tile", 16, {64, 256}, {}});
  test({"a filter of one pixel", 17, {33, 1, 1, 64}, {}});
}

}  // namespace
}  // namespace lorikeet::cuda_sim::test

int main() { lorikeet::cuda_sim::test::all(); }
