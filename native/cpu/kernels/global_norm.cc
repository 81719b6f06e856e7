// global_norm: norm = sqrt(sum of g^2) of a whole f32 buffer, summed in f64 in parts of a fixed size.
#include <cmath>

#include "../elementwise.h"

namespace lorikeet::cpu {
namespace {

// Not LORIKEET_CLONES: wider vectors would add in another order and give other bits on another processor.
double sum_part(const float* g, int64_t n) {
  double sum = 0;
#pragma omp simd reduction(+ : sum)
  for (int64_t i = 0; i < n; i++) sum += static_cast<double>(g[i]) * g[i];
  return sum;
}

std::unique_ptr<Kernel> make_global_norm(const KernelRequest& request) {
  expect_operands(request, {"g"}, {"norm"});
  const TensorSpec& g = request.inputs[0];
  expect_dtype(request, "g", g, {DType::f32});
  expect_dtype(request, "norm", request.outputs[0], {DType::f32});
  expect_shape(request, "norm", request.outputs[0], {1}, "g", g);

  const int64_t n = elements_of(g.shape), parts = pieces_of(n, kElementGrain);
  request.scratch.reserve(parts * sizeof(double));
  return kernel_from([=, scratch = &request.scratch](const Operands& operands) {
    const float* g = operands.inputs[0].as<const float>();
    double* sum = static_cast<double*>(scratch->data());
    parallel_for(n, kElementGrain, [=](int64_t begin, int64_t end) {
      sum[begin / kElementGrain] = sum_part(g + begin, end - begin);
    });
    double total = 0;
    for (int64_t part = 0; part < parts; part++) total += sum[part];
    *operands.outputs[0].as<float>() = static_cast<float>(std::sqrt(total));
  });
}

LORIKEET_REGISTER_CPU_KERNEL("global_norm", make_global_norm);

}  // namespace
}  // namespace lorikeet::cpu
