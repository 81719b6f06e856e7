// slice_backward: dx[.., C] = dy[.., count] at columns start .. start + count, zero elsewhere.
#include <cstring>

#include "../../core/ops/columns.h"
#include "../elementwise.h"

namespace lorikeet::cpu {
namespace {

std::unique_ptr<Kernel> make_slice_backward(const KernelRequest& request) {
  const int64_t start = read_slice_backward_start(request);
  const TensorSpec& dy = request.inputs[0];
  const TensorSpec& dx = request.outputs[0];

  const int64_t rows = rows_of(dy), size = bytes_of(dy.dtype);
  const int64_t from_bytes = columns_of(dy) * size, to_bytes = columns_of(dx) * size, before = start * size;
  return kernel_from([=](const Operands& operands) {
    const char* dy = operands.inputs[0].as<const char>();
    char* dx = operands.outputs[0].as<char>();
    parallel_for(rows, row_grain(to_bytes / size), [=](int64_t begin, int64_t end) {
      for (int64_t row = begin; row < end; row++) {
        char* to = dx + row * to_bytes;
        std::memset(to, 0, before);
        std::memcpy(to + before, dy + row * from_bytes, from_bytes);
        std::memset(to + before + from_bytes, 0, to_bytes - before - from_bytes);
      }
    });
  });
}

LORIKEET_REGISTER_CPU_KERNEL("slice_backward", make_slice_backward);

}  // namespace
}  // namespace lorikeet::cpu
