// Sums of rows in the emulator's strict mode against sums in double.
#include "cuda/kernels/sum_rows.h"

#include "reference.h"

namespace lorikeet::cuda_sim::test {
namespace {

using sim::Mode;
using sim::Rights;

template <typename T, typename Y>
void test(int64_t groups, int64_t rows, int64_t columns, bool add, int64_t offset = 0) {
  const std::string name = std::string(kDtypeName<T>) + " to " + kDtypeName<Y> + " " + std::to_string(groups) + " x " +
                           std::to_string(rows) + " x " + std::to_string(columns) + (add ? ", added" : "") +
                           (offset ? ", unaligned" : "");
  check(name.c_str(), Mode::strict, [&](Json& line) {
    DeviceArray<T> x("x", groups * rows * columns + offset, Rights::read);
    DeviceArray<Y> y("y", groups * columns);
    DeviceArray<float> sums("sums", sum_rows_scratch(groups, rows, columns));
    Random random(static_cast<uint32_t>(groups * 31 + rows * 7 + columns));
    random.fill(x), random.fill(y);
    std::vector<Sum> expected(y.count());
    for (size_t i = 0; i < y.count(); i++) {
      if (add) expected[i].add(to_float(y[i]));
      const int64_t group = i / columns, column = i % columns;
      for (int64_t row = 0; row < rows; row++) {
        expected[i].add(to_float(x[offset + (group * rows + row) * columns + column]));
      }
    }
    launch_sum_rows(SumRows<T, Y>{groups, rows, columns, x.data() + offset, y.data(), add, sums.data()}, Stream());
    Errors errors;
    for (size_t i = 0; i < y.count(); i++) errors.add(y[i], expected[i].value, expected[i].size * 0x1p-21);
    line.number("error", errors.worst());
    const auto& counters = sim::Machine::current().counters();
    if (counters.count("sum_rows")) line.raw("counters", counters_of("sum_rows"));
    line.number("second", counters.count("sum_parts"));
  });
}

void all() {
  test<bf16, bf16>(1, 1, 1, false);
  test<bf16, bf16>(7, 1, 33, false);
  test<bf16, float>(3, 40, 320, false);
  test<bf16, float>(1, 700, 320, true);
  test<bf16, bf16>(2, 513, 24, false);
  test<bf16, float>(1, 9, 64, true, 1);
  test<bf16, bf16>(2, 0, 5, false);
  test<float, float>(2, 300, 33, false);
  test<float, float>(1, 256, 128, true);
  test<float, float>(1, 1000, 132, true);
  test<float, float>(1, 20, 8, false, 1);
}

}  // namespace
}  // namespace lorikeet::cuda_sim::test

int main() { lorikeet::cuda_sim::test::all(); }
