// timestep_embedding: y[n] = [sin | cos] or [cos | sin] of t[n] * f_i with f_i = exp(-ln(max_period) i/(C/2 - shift)),
// the sinusoidal embedding of diffusion models.
// The angle is rounded to f32 where PyTorch rounds it: at t = 999 that rounding changes the sine by up to 3e-5, and
// models were trained with it. Only the functions themselves are evaluated in f64.
#include <cmath>
#include <vector>

#include "../elementwise.h"

namespace lorikeet::cpu {
namespace {

std::unique_ptr<Kernel> make_timestep_embedding(const KernelRequest& request) {
  expect_operands(request, {"t"}, {"y"});
  const TensorSpec& t = request.inputs[0];
  const TensorSpec& y = request.outputs[0];
  const double max_period = request.instruction.number("max_period");
  const double shift = request.instruction.number("shift");
  const bool cos_first = request.instruction.integer("cos_first") != 0;
  const int64_t batch = batch_of(request, "t", t), half = columns_of(y) / 2;
  expect_dtype(request, "t", t, {DType::f32});
  expect_compute_dtype(request, "y", y);
  expect_shape(request, "t", t, {batch}, "y", y);
  expect_shape(request, "y", y, {batch, 2 * half}, "t", t);
  require(max_period > 0, "timestep_embedding: max_period is ", max_period, "; it must be above 0");
  require(half - shift > 0, "timestep_embedding: shift is ", shift, "; it must be below half of y's ", 2 * half,
          " columns");

  std::vector<float> frequencies(half);
  for (int64_t i = 0; i < half; i++) {
    const float exponent = static_cast<float>(-std::log(max_period)) * i / static_cast<float>(half - shift);
    frequencies[i] = static_cast<float>(std::exp(static_cast<double>(exponent)));
  }
  return by_dtype(y.dtype, [&](auto zero) {
    using T = decltype(zero);
    return kernel_from([=, frequencies = std::move(frequencies)](const Operands& operands) {
      const float* t = operands.inputs[0].as<const float>();
      T* y = operands.outputs[0].as<T>();
      for (int64_t n = 0; n < batch; n++) {
        T* sines = y + n * 2 * half + (cos_first ? half : 0);
        T* cosines = y + n * 2 * half + (cos_first ? 0 : half);
        for (int64_t i = 0; i < half; i++) {
          const float angle = t[n] * frequencies[i];
          sines[i] = from_f32<T>(static_cast<float>(std::sin(static_cast<double>(angle))));
          cosines[i] = from_f32<T>(static_cast<float>(std::cos(static_cast<double>(angle))));
        }
      }
    });
  });
}

LORIKEET_REGISTER_CPU_KERNEL("timestep_embedding", make_timestep_embedding);

}  // namespace
}  // namespace lorikeet::cpu
