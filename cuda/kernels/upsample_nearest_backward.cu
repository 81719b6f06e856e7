// upsample_nearest_backward: dx[h, w] = the sum of dy over the pixels that upsample_nearest copied from there.
#include "../../native/core/ops/upsample_nearest.h"

#include "../op.h"
#include "elementwise.cuh"

namespace LORIKEET_CUDA {
namespace {

// The first of the ho outputs that come from input i or a later one: ceil(i * ho / h).
__device__ __forceinline__ int first_output(int i, int h, int ho) { return (i * ho + h - 1) / h; }

template <typename T>
struct UpsampleNearestBackward {
  int h, w, ho, wo, channels;
  Global<const T> dy;
  Global<T> dx;

  template <int kWidth>
  __device__ __forceinline__ void run(int64_t i) const {
    const int pixel = static_cast<int>(i / channels), channel = static_cast<int>(i - int64_t{pixel} * channels);
    const int image_row = pixel / w, column = pixel - image_row * w;
    const int n = image_row / h, row = image_row - n * h;
    const int top = n * ho + first_output(row, h, ho), bottom = n * ho + first_output(row + 1, h, ho);
    const int left = first_output(column, w, wo), right = first_output(column + 1, w, wo);
    float sum[kWidth];
    LORIKEET_UNROLL for (int e = 0; e < kWidth; e++) sum[e] = 0.0f;
    for (int r = top; r < bottom; r++) {
      for (int c = left; c < right; c++) {
        const int64_t at = (static_cast<int64_t>(r) * wo + c) * channels + channel;
        const Vector<T, kWidth> slope = load_vector<kWidth>(dy, at);
        LORIKEET_UNROLL for (int e = 0; e < kWidth; e++) sum[e] += to_float(slope[e]);
      }
    }
    Vector<T, kWidth> total;
    LORIKEET_UNROLL for (int e = 0; e < kWidth; e++) total[e] = from_float<T>(sum[e]);
    store_vector(dx, i, total);
  }
};

Launch make_upsample_nearest_backward(const CudaRequest& request) {
  check_upsample_nearest_backward(request);
  const TensorSpec& dy = request.inputs[0];
  const TensorSpec& dx = request.outputs[0];

  const int64_t largest = std::max({dx.shape[0] * dx.shape[1] * dx.shape[2], (dx.shape[1] + 1) * (dy.shape[1] + 1),
                                    (dx.shape[2] + 1) * (dy.shape[2] + 1), dx.shape[3]});
  require(largest < int64_t{1} << 31, "upsample_nearest_backward: dx ", to_string(dx.shape), " is too large");
  const int h = static_cast<int>(dx.shape[1]), w = static_cast<int>(dx.shape[2]);
  const int ho = static_cast<int>(dy.shape[1]), wo = static_cast<int>(dy.shape[2]);
  const int channels = static_cast<int>(dx.shape[3]);
  return by_dtype(dy.dtype, [=, count = elements_of(dx.shape)](auto zero) -> Launch {
    using T = decltype(zero);
    return [=](const Operands& operands, const LaunchContext& context) {
      const T* dy = data<const T>(operands.inputs[0]);
      T* dx = data<T>(operands.outputs[0]);
      const UpsampleNearestBackward<T> work{h, w, ho, wo, channels, dy, dx};
      launch_elementwise<kPerAccess<T>>("upsample_nearest_backward", work, count,
                                        channels % kPerAccess<T> == 0 && aligned(dy, dx), context.stream);
    };
  });
}

LORIKEET_REGISTER_CUDA_KERNEL("upsample_nearest_backward", make_upsample_nearest_backward);

}  // namespace
}  // namespace LORIKEET_CUDA
