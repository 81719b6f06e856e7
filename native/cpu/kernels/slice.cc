// slice: y[.., count] = columns start .. start + count of x[.., C].
#include <cstring>

#include "../../core/ops/columns.h"
#include "../elementwise.h"

namespace lorikeet::cpu {
namespace {

std::unique_ptr<Kernel> make_slice(const KernelRequest& request) {
  const int64_t start = read_slice_start(request);
  const TensorSpec& x = request.inputs[0];
  const TensorSpec& y = request.outputs[0];

  const int64_t rows = rows_of(y), columns = columns_of(y), size = bytes_of(x.dtype);
  const int64_t from_bytes = columns_of(x) * size, to_bytes = columns * size;
  return kernel_from([=](const Operands& operands) {
    const char* x = operands.inputs[0].as<const char>() + start * size;
    char* y = operands.outputs[0].as<char>();
    parallel_for(rows, row_grain(columns), [=](int64_t begin, int64_t end) {
      for (int64_t row = begin; row < end; row++) std::memcpy(y + row * to_bytes, x + row * from_bytes, to_bytes);
    });
  });
}

LORIKEET_REGISTER_CPU_KERNEL("slice", make_slice);

}  // namespace
}  // namespace lorikeet::cpu
