// gaussian_kl: per_sample[n] = mean over z of (mean^2 + exp(logvar) - 1 - logvar) / 2, the divergence of
// the encoder's Gaussian from the standard normal one; total = mean of per_sample. Summed in f64, in parts of a fixed
// size.
#include "../../core/ops/gaussian.h"

#include "../elementwise.h"

namespace lorikeet::cpu {
namespace {

// Not LORIKEET_CLONES: wider vectors would add in another order and give other bits on another processor.
template <typename T>
double sum_part(const T* moments, int64_t rows, int64_t channels) {
  double sum = 0;
  for (int64_t row = 0; row < rows; row++) {
    const T* mean = moments + row * 2 * channels;
    const T* logvar = mean + channels;
#pragma omp simd reduction(+ : sum)
    for (int64_t c = 0; c < channels; c++) {
      const float m = to_f32(mean[c]), v = clamp_logvar(to_f32(logvar[c]));
      sum += static_cast<double>(m) * m + (static_cast<double>(exp_f32(v)) - 1.0 - v);
    }
  }
  return 0.5 * sum;
}

std::unique_ptr<Kernel> make_gaussian_kl(const KernelRequest& request) {
  const int64_t channels = read_gaussian_kl(request);
  const TensorSpec& moments = request.inputs[0];
  const int64_t batch = moments.shape[0];

  const int64_t rows = rows_of(moments) / batch, grain = row_grain(2 * channels), parts = pieces_of(rows, grain);
  request.scratch.reserve(batch * parts * sizeof(double));
  return by_dtype(moments.dtype, [=, scratch = &request.scratch](auto zero) {
    using T = decltype(zero);
    return kernel_from([=](const Operands& operands) {
      const T* moments = operands.inputs[0].as<const T>();
      float* per_sample = operands.outputs[0].as<float>();
      double* sum = static_cast<double*>(scratch->data());
      parallel_for(batch * parts, 1, [=](int64_t begin, int64_t end) {
        for (int64_t i = begin; i < end; i++) {
          const int64_t first = i % parts * grain;
          const T* part = moments + (i / parts * rows + first) * 2 * channels;
          sum[i] = sum_part(part, std::min(grain, rows - first), channels);
        }
      });
      double total = 0;
      for (int64_t n = 0; n < batch; n++) {
        double value = 0;
        for (int64_t part = 0; part < parts; part++) value += sum[n * parts + part];
        value /= static_cast<double>(rows * channels);
        per_sample[n] = static_cast<float>(value);
        total += value;
      }
      *operands.outputs[1].as<float>() = static_cast<float>(total / batch);
    });
  });
}

LORIKEET_REGISTER_CPU_KERNEL("gaussian_kl", make_gaussian_kl);

}  // namespace
}  // namespace lorikeet::cpu
