// timestep_embedding: y[n] = [sin | cos] or [cos | sin] of t[n] * f_i. The angle is rounded to f32 where PyTorch rounds
// it; only the functions themselves are evaluated in f64, for some thousand elements.
#include "../../native/core/ops/timestep_embedding.h"

#include "../op.h"
#include "elementwise.cuh"

namespace LORIKEET_CUDA {
namespace {

// sin (quarters 0) or cos (1) of an angle in f64, to far below an ulp of f32. CUDA's own functions bring tables in
// local memory for angles beyond 10^5, which no timestep has. The angle less the nearest multiple k of pi/2, in two
// parts of pi/2 (Cody and Waite 1980), lies within pi/4, where seven terms of Taylor's series are good to 10^-12.
__device__ __forceinline__ double sine(double angle, int quarters) {
  constexpr double kHigh = 1.57079632679489655800, kLow = 6.12323399573676603587e-17;  // of pi/2
  const double k = rint(angle * 0.63661977236758134308);
  const double x = fma(-k, kLow, fma(-k, kHigh, angle)), x2 = x * x;
  const double turn = k + quarters, quadrant = turn - 4 * floor(turn * 0.25);
  const bool is_cos = quadrant == 1 || quadrant == 3;
  double sum = 1;  // cos: 1 - x2 / (1 * 2) * (1 - x2 / (3 * 4) * ..); sin: x * (1 - x2 / (2 * 3) * (1 - ..))
#pragma unroll
  for (int n = 12; n > 0; n -= 2) {
    const double divisor = is_cos ? 1.0 / (n * (n - 1)) : 1.0 / (n * (n + 1));
    sum = fma(-x2 * divisor, sum, 1.0);
  }
  const double value = is_cos ? sum : x * sum;
  return quadrant >= 2 ? -value : value;
}

template <typename T>
struct TimestepSines {
  int64_t half;
  bool cos_first;
  Global<const float> t, frequency;
  Global<T> y;

  template <int kWidth>
  __device__ __forceinline__ void run(int64_t i) const {
    static_assert(kWidth == 1, "sines are computed one by one");
    const int64_t n = i / (2 * half), column = i - n * 2 * half;
    const bool second = column >= half;
    const double angle = load(t, n) * load(frequency, second ? column - half : column);
    store(y, i, from_float<T>(static_cast<float>(sine(angle, second == cos_first ? 0 : 1))));
  }
};

Launch make_timestep_embedding(const CudaRequest& request) {
  const TimestepEmbedding e = read_timestep_embedding(request);
  const auto frequencies = request.constants(e.frequencies);
  const int64_t half = e.half, count = e.batch * 2 * e.half;
  return by_dtype(request.outputs[0].dtype, [=, cos_first = e.cos_first](auto zero) -> Launch {
    using T = decltype(zero);
    return [=](const Operands& operands, const LaunchContext& context) {
      const TimestepSines<T> work{half, cos_first, data<const float>(operands.inputs[0]),
                                  static_cast<const float*>(frequencies->data()), data<T>(operands.outputs[0])};
      launch_elementwise<1>("timestep_embedding", work, count, false, context.stream);
    };
  });
}

LORIKEET_REGISTER_CUDA_KERNEL("timestep_embedding", make_timestep_embedding);

}  // namespace
}  // namespace LORIKEET_CUDA
