#include "cuda/kernels/modulate.h"

#include "reference.h"

namespace lorikeet::cuda_sim::test {
namespace {

using sim::Mode;
using sim::Rights;

struct Shape {
  int samples, rows, columns;
  bool crooked = false;  // vectors at no multiple of 16 bytes
};

// modulate, or gate with `shift` as its gate.
template <typename T>
double run(const Shape& s, bool gated) {
  const size_t count = static_cast<size_t>(s.samples) * s.rows * s.columns;
  DeviceArray<T> x("x", count, Rights::read), z("z", count, Rights::read), y("y", count);
  DeviceArray<T> scales("scale", s.samples * s.columns + 1, Rights::read);
  DeviceArray<T> shifts("shift", s.samples * s.columns + 1, Rights::read);
  const T *scale = scales.data() + s.crooked, *shift = shifts.data() + s.crooked;
  Random random(s.columns);
  random.fill(x), random.fill(z), random.fill(scales), random.fill(shifts);
  if (gated) {
    launch_gate<T>({s.samples, s.rows, s.columns, x.data(), z.data(), shift, y.data()}, Stream());
  } else {
    launch_modulate<T>({s.samples, s.rows, s.columns, x.data(), scale, shift, y.data()}, Stream());
  }
  Errors errors;
  for (size_t i = 0; i < count; i++) {
    const size_t vector = i / (s.rows * s.columns) * s.columns + i % s.columns;
    const double own = to_float(x[i]), shifted = to_float(shift[vector]);
    const double left = gated ? own : own * (1 + static_cast<double>(to_float(scale[vector])));
    const double right = gated ? shifted * to_float(z[i]) : shifted;
    errors.add(y[i], left + right, (std::fabs(left) + std::fabs(right)) * 0x1p-22);
  }
  return errors.worst();
}

template <typename T>
void all() {
  const Shape shapes[] = {
      {1, 33, 520},  // in f32 several blocks a row
      {3, 70, 40},   // several parts of a sample
      {2, 64, 256},  // whole blocks
      {2, 5, 33},    // no whole accesses
      {1, 1, 1},
      {2, 9, 64, true},
  };
  for (const Shape& s : shapes) {
    for (const bool gated : {false, true}) {
      const std::string name = std::string(kDtypeName<T>) + " " + std::to_string(s.samples) + " x " +
                               std::to_string(s.rows) + " x " + std::to_string(s.columns) +
                               (s.crooked ? ", crooked" : "") + (gated ? " gate" : "");
      const double vectors = static_cast<double>(s.samples) * s.columns * sizeof(T);
      check(name.c_str(), Mode::strict, [&](Json& line) {
        line.number("error", run<T>(s, gated));
        line.number("bytes", vectors * (gated ? 3 * s.rows + 1 : 2 * s.rows + 2));
        line.raw("counters", counters_of(gated ? "gate" : "modulate"));
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
