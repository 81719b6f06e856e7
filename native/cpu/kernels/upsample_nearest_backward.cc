// upsample_nearest_backward: dx[h, w] = the sum of dy over the pixels that upsample_nearest copied from there.
#include "../../core/ops/upsample_nearest.h"
#include "../elementwise.h"

namespace lorikeet::cpu {
namespace {

// The first of the ho outputs that come from input i or a later one: ceil(i * ho / h).
int64_t first_output(int64_t i, int64_t h, int64_t ho) { return (i * ho + h - 1) / h; }

// dx[c] = sum of dy over a block of rows x columns pixels of C channels; `stride` elements from row to row.
template <typename T>
LORIKEET_CLONES void sum_block(const T* dy, int64_t rows, int64_t columns, int64_t stride, T* dx, int64_t channels) {
  constexpr int64_t kTile = 64;
  for (int64_t start = 0; start < channels; start += kTile) {
    const int64_t tile = std::min(kTile, channels - start);
    float sum[kTile] = {};
    for (int64_t i = 0; i < rows; i++) {
      for (int64_t j = 0; j < columns; j++) {
        const T* from = dy + i * stride + j * channels + start;
#pragma omp simd
        for (int64_t c = 0; c < tile; c++) sum[c] += to_f32(from[c]);
      }
    }
#pragma omp simd
    for (int64_t c = 0; c < tile; c++) dx[start + c] = from_f32<T>(sum[c]);
  }
}

std::unique_ptr<Kernel> make_upsample_nearest_backward(const KernelRequest& request) {
  check_upsample_nearest_backward(request);
  const TensorSpec& dy = request.inputs[0];
  const TensorSpec& dx = request.outputs[0];

  const int64_t h = dx.shape[1], w = dx.shape[2], ho = dy.shape[1], wo = dy.shape[2], channels = dx.shape[3];
  return by_dtype(dy.dtype, [=, rows = dx.shape[0] * h](auto zero) {
    using T = decltype(zero);
    return kernel_from([=](const Operands& operands) {
      const T* dy = operands.inputs[0].as<const T>();
      T* dx = operands.outputs[0].as<T>();
      parallel_for(rows, row_grain(w * channels), [=](int64_t begin, int64_t end) {
        for (int64_t row = begin; row < end; row++) {
          const int64_t top = first_output(row % h, h, ho), bottom = first_output(row % h + 1, h, ho);
          for (int64_t j = 0; j < w; j++) {
            const int64_t left = first_output(j, w, wo), right = first_output(j + 1, w, wo);
            sum_block(dy + ((row / h * ho + top) * wo + left) * channels, bottom - top, right - left, wo * channels,
                      dx + (row * w + j) * channels, channels);
          }
        }
      });
    });
  });
}

LORIKEET_REGISTER_CPU_KERNEL("upsample_nearest_backward", make_upsample_nearest_backward);

}  // namespace
}  // namespace lorikeet::cpu
