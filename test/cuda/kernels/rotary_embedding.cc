#include "cuda/kernels/rotary_embedding.h"

#include "reference.h"

namespace lorikeet::cuda_sim::test {
namespace {

using sim::Mode;
using sim::Rights;

struct Shape {
  int samples, tokens, heads, pairs;
  bool crooked = false;  // the tables at no multiple of 16 bytes
};

template <typename T>
double run(const Shape& s, bool inverse) {
  const int columns = s.heads * 2 * s.pairs;
  const size_t count = static_cast<size_t>(s.samples) * s.tokens * columns;
  DeviceArray<T> x("x", count, Rights::read), y("y", count);
  DeviceArray<float> cos_array("cos", s.tokens * s.pairs + 1), sin_array("sin", s.tokens * s.pairs + 1);
  Random random(columns);
  random.fill(x);
  for (size_t i = 0; i < cos_array.count(); i++) {
    const float angle = 4 * random.next();
    cos_array[i] = std::cos(angle), sin_array[i] = std::sin(angle);
  }
  const float *cos = cos_array.data() + s.crooked, *sin = sin_array.data() + s.crooked;
  launch_rotary_embedding<T>({s.samples, s.tokens, columns, s.pairs, inverse, x.data(), cos, sin, y.data()}, Stream());
  Errors errors;
  for (size_t i = 0; i < count; i += 2) {
    const size_t angle = i / columns % s.tokens * s.pairs + i / 2 % s.pairs;
    const double a = to_float(x[i]), b = to_float(x[i + 1]);
    const double c = cos[angle], turn = inverse ? -sin[angle] : sin[angle];
    const double slack = (std::fabs(a) + std::fabs(b)) * 0x1p-23;
    errors.add(y[i], a * c - b * turn, slack);
    errors.add(y[i + 1], b * c + a * turn, slack);
  }
  return errors.worst();
}

template <typename T>
void all() {
  const Shape shapes[] = {
      {1, 3, 24, 64},  // more than a block for a token
      {3, 17, 4, 32},  // several samples
      {2, 5, 3, 5},    // no whole accesses
      {1, 1, 1, 1},
      {2, 4, 2, 16, true},
  };
  for (const Shape& s : shapes) {
    for (const bool inverse : {false, true}) {
      const std::string name = std::string(kDtypeName<T>) + " " + std::to_string(s.samples) + " x " +
                               std::to_string(s.tokens) + " x " + std::to_string(s.heads) + " heads of " +
                               std::to_string(2 * s.pairs) + (s.crooked ? ", crooked" : "") +
                               (inverse ? " backwards" : "");
      check(name.c_str(), Mode::strict, [&](Json& line) {
        line.number("error", run<T>(s, inverse));
        const double tables = static_cast<double>(s.tokens) * s.pairs * 8;
        line.number("bytes", tables + static_cast<double>(s.samples) * s.tokens * s.heads * s.pairs * 4 * sizeof(T));
        line.raw("counters", counters_of("rotary_embedding"));
      });
    }
  }
}

}  // namespace
}  // namespace lorikeet::cuda_sim::test

int main() {
  lorikeet::cuda_sim::test::all<lorikeet::cuda_sim::bf16>();
  lorikeet::cuda_sim::test::all<float>();
}
