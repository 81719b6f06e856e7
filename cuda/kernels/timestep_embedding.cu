// timestep_embedding: y[n] = [sin | cos] or [cos | sin] of t[n] * f_i. The angle is rounded to f32 where PyTorch rounds
// it; only the functions themselves are evaluated in f64, for some thousand elements.
#include "../../native/core/ops/timestep_embedding.h"

#include "../op.h"
#include "elementwise.cuh"

namespace LORIKEET_CUDA {
namespace {

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
    store(y, i, from_float<T>(static_cast<float>(second == cos_first ? sin(angle) : cos(angle))));
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
