// loss: per_sample[n] = weight[n] * mean of f(pred[n] - target[n]); total = mean of per_sample. Summed in f64, in parts
// of a fixed size.
#include "../../core/ops/loss.h"

#include "../elementwise.h"

namespace lorikeet::cpu {
namespace {

// Not LORIKEET_CLONES: wider vectors would add in another order and give other bits on another processor.
template <typename F, typename T>
double sum_part(const T* pred, const float* target, float c, int64_t n) {
  double sum = 0;
#pragma omp simd reduction(+ : sum)
  for (int64_t i = 0; i < n; i++) sum += F::value(to_f32(pred[i]) - target[i], c);
  return sum;
}

std::unique_ptr<Kernel> make_loss(const KernelRequest& request) {
  check_loss(request);
  const TensorSpec& pred = request.inputs[0];
  const int64_t batch = pred.shape[0], columns = elements_of(pred.shape) / batch;

  const int64_t parts = pieces_of(columns, kElementGrain);
  request.scratch.reserve(batch * parts * sizeof(double));
  return by_loss("loss", request.instruction.text("kind"), [&](auto function) {
    return by_dtype(pred.dtype, [&](auto zero) {
      using F = decltype(function);
      using T = decltype(zero);
      return kernel_from([=, scratch = &request.scratch](const Operands& operands) {
        const T* pred = operands.inputs[0].as<const T>();
        const float* target = operands.inputs[1].as<const float>();
        const float* weight = operands.inputs[2].as<const float>();
        const float* huber_c = F::kHuber ? operands.inputs[3].as<const float>() : nullptr;
        float* per_sample = operands.outputs[0].as<float>();
        double* sum = static_cast<double*>(scratch->data());
        parallel_for(batch * parts, 1, [=](int64_t begin, int64_t end) {
          for (int64_t i = begin; i < end; i++) {
            const int64_t n = i / parts, first = i % parts * kElementGrain, at = n * columns + first;
            sum[i] = sum_part<F>(pred + at, target + at, F::kHuber ? huber_c[n] : 0.0f,
                                 std::min(kElementGrain, columns - first));
          }
        });
        double total = 0;
        for (int64_t n = 0; n < batch; n++) {
          double value = 0;
          for (int64_t part = 0; part < parts; part++) value += sum[n * parts + part];
          value *= static_cast<double>(weight[n]) / columns;
          per_sample[n] = static_cast<float>(value);
          total += value;
        }
        *operands.outputs[1].as<float>() = static_cast<float>(total / batch);
      });
    });
  });
}

LORIKEET_REGISTER_CPU_KERNEL("loss", make_loss);

}  // namespace
}  // namespace lorikeet::cpu
