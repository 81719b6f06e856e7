// upsample_nearest: x[N, H, W, C] -> y[N, Ho, Wo, C], y[i, j] = x[floor(i H / Ho), floor(j W / Wo)], as PyTorch's
// "nearest".
#include "../../native/core/ops/upsample_nearest.h"

#include "../op.h"
#include "elementwise.cuh"

namespace LORIKEET_CUDA {
namespace {

template <typename T>
struct UpsampleNearest {
  int64_t h, w, ho, wo, channels;
  Global<const T> x;
  Global<T> y;

  template <int kWidth>
  __device__ __forceinline__ void run(int64_t i) const {
    const int64_t pixel = i / channels, channel = i - pixel * channels;
    const int64_t row = pixel / wo, column = pixel - row * wo;  // rows of all images
    const int64_t n = row / ho, from_row = n * h + (row - n * ho) * h / ho, from_column = column * w / wo;
    store_vector(y, i, load_vector<kWidth>(x, (from_row * w + from_column) * channels + channel));
  }
};

Launch make_upsample_nearest(const CudaRequest& request) {
  check_upsample_nearest(request);
  const TensorSpec& x = request.inputs[0];
  const TensorSpec& y = request.outputs[0];

  const int64_t h = x.shape[1], w = x.shape[2], ho = y.shape[1], wo = y.shape[2], channels = x.shape[3];
  return by_size(bytes_of(x.dtype), [=, count = elements_of(y.shape)](auto zero) -> Launch {
    using T = decltype(zero);
    return [=](const Operands& operands, const LaunchContext& context) {
      const T* x = data<const T>(operands.inputs[0]);
      T* y = data<T>(operands.outputs[0]);
      launch_elementwise<kPerAccess<T>>("upsample_nearest", UpsampleNearest<T>{h, w, ho, wo, channels, x, y}, count,
                                        channels % kPerAccess<T> == 0 && aligned(x, y), context.stream);
    };
  });
}

LORIKEET_REGISTER_CUDA_KERNEL("upsample_nearest", make_upsample_nearest);

}  // namespace
}  // namespace LORIKEET_CUDA
