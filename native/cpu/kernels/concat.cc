// concat: y[.., C1 + C2] = [a[.., C1] | b[.., C2]].
#include <cstring>

#include "../../core/ops/columns.h"
#include "../elementwise.h"

namespace lorikeet::cpu {
namespace {

std::unique_ptr<Kernel> make_concat(const KernelRequest& request) {
  check_concat(request);
  const TensorSpec& a = request.inputs[0];
  const TensorSpec& b = request.inputs[1];
  const TensorSpec& y = request.outputs[0];

  const int64_t rows = rows_of(y), columns = columns_of(y);
  const int64_t a_bytes = columns_of(a) * bytes_of(a.dtype), b_bytes = columns_of(b) * bytes_of(b.dtype);
  return kernel_from([=](const Operands& operands) {
    const char* a = operands.inputs[0].as<const char>();
    const char* b = operands.inputs[1].as<const char>();
    char* y = operands.outputs[0].as<char>();
    parallel_for(rows, row_grain(columns), [=](int64_t begin, int64_t end) {
      for (int64_t row = begin; row < end; row++) {
        char* to = y + row * (a_bytes + b_bytes);
        std::memcpy(to, a + row * a_bytes, a_bytes);
        std::memcpy(to + a_bytes, b + row * b_bytes, b_bytes);
      }
    });
  });
}

LORIKEET_REGISTER_CPU_KERNEL("concat", make_concat);

}  // namespace
}  // namespace lorikeet::cpu
