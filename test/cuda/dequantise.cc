// Quantised weights opened in the emulator's strict mode: bit by bit what the CPU makes of them.
#include "cuda/dequantise.h"

#include "native/core/quantise.cc"
#include "native/core/tensor.cc"
#include "kernels/reference.h"

namespace lorikeet::cuda_sim::test {
namespace {

using sim::Rights;

// Rows of very different sizes: one of zeros, one of numbers below the normal ones, one of very large ones.
std::vector<float> values_of(const Shape& shape) {
  std::vector<float> values(static_cast<size_t>(elements_of(shape)));
  const size_t row = values.size() / static_cast<size_t>(shape[0]);
  Random random(11);
  for (size_t i = 0; i < values.size(); i++) {
    const float sizes[] = {1.0f, 0.02f, 0.0f, 0x1p-130f, 0x1p120f};
    values[i] = random.next() * sizes[i / row % 5];
  }
  return values;
}

template <typename T>
void test(Storage storage, const Shape& shape, size_t offset = 0) {
  const std::string name = std::string(name_of(storage)) + " " + to_string(shape) + " to " + kDtypeName<T> +
                           (offset ? ", unaligned" : "");
  check(name.c_str(), sim::Mode::strict, [&](Json& line) {
    const size_t count = static_cast<size_t>(elements_of(shape));
    DeviceArray<uint32_t> stored("stored", static_cast<size_t>(stored_layout(storage, shape).bytes / 4), Rights::read);
    DeviceArray<T> to("to", count + offset);
    const std::vector<float> values = values_of(shape);
    quantise(values.data(), storage, shape, stored.data());
    launch_dequantise(stored.data(), storage, shape, to.data() + offset, Stream());
    std::vector<T> expected(count);
    dequantise(stored.data(), storage, shape, sizeof(T) == 2 ? DType::bf16 : DType::f32, expected.data());
    int different = 0, other_than_zero = 0;
    for (size_t i = 0; i < count; i++) {
      different += std::memcmp(&expected[i], &to[i + offset], sizeof(T)) != 0;
      other_than_zero += to_float(to[i + offset]) != 0;
    }
    line.number("different", different).number("otherThanZero", other_than_zero);
    line.raw("counters", counters_of("dequantise"));
  });
}

// The first value of two in the high half of their byte; behind an odd number of them, a zero.
void test_bytes() {
  check("nf4 bytes", sim::Mode::strict, [](Json& line) {
    std::vector<float> values(kNf4Levels, kNf4Levels + 16);
    values.push_back(-1.0f);
    const Shape shape = {1, 17};
    std::vector<uint8_t> stored(static_cast<size_t>(stored_layout(Storage::nf4, shape).bytes));
    quantise(values.data(), Storage::nf4, shape, stored.data());
    std::string digits;
    for (int i = 0; i < 10; i++) {
      char two[3];
      std::snprintf(two, sizeof two, "%02x", stored[static_cast<size_t>(i)]);
      digits += two;
    }
    line.text("bytes", digits);
  });
}

template <typename T>
void all() {
  for (const Storage storage : {Storage::nf4, Storage::int8, Storage::fp8}) {
    test<T>(storage, {64, 320});
    test<T>(storage, {20, 1, 1, 64});
    test<T>(storage, {33, 50});
    test<T>(storage, {5, 7});
    test<T>(storage, {9, 72}, 1);
  }
}

}  // namespace
}  // namespace lorikeet::cuda_sim::test

int main() {
  lorikeet::cuda_sim::test::test_bytes();
  lorikeet::cuda_sim::test::all<float>();
  lorikeet::cuda_sim::test::all<lorikeet::cuda_sim::bf16>();
}
