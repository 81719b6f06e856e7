// upsample_nearest: x[N, H, W, C] -> y[N, Ho, Wo, C], y[i, j] = x[floor(i H / Ho), floor(j W / Wo)], as PyTorch's
// "nearest".
#include <cstring>

#include "../../core/ops/upsample_nearest.h"
#include "../elementwise.h"

namespace lorikeet::cpu {
namespace {

std::unique_ptr<Kernel> make_upsample_nearest(const KernelRequest& request) {
  check_upsample_nearest(request);
  const TensorSpec& x = request.inputs[0];
  const TensorSpec& y = request.outputs[0];

  const int64_t h = x.shape[1], w = x.shape[2], ho = y.shape[1], wo = y.shape[2];
  const int64_t pixel = x.shape[3] * bytes_of(x.dtype);
  return kernel_from([=, rows = x.shape[0] * ho, grain = row_grain(wo * x.shape[3])](const Operands& operands) {
    const char* x = operands.inputs[0].as<const char>();
    char* y = operands.outputs[0].as<char>();
    parallel_for(rows, grain, [=](int64_t begin, int64_t end) {
      for (int64_t row = begin; row < end; row++) {
        const char* from = x + (row / ho * h + row % ho * h / ho) * w * pixel;
        char* to = y + row * wo * pixel;
        for (int64_t j = 0; j < wo; j++) std::memcpy(to + j * pixel, from + j * w / wo * pixel, pixel);
      }
    });
  });
}

LORIKEET_REGISTER_CPU_KERNEL("upsample_nearest", make_upsample_nearest);

}  // namespace
}  // namespace lorikeet::cpu
