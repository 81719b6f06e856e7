// clear: y = 0, every byte.
#include <cstring>

#include "../elementwise.h"

namespace lorikeet::cpu {
namespace {

std::unique_ptr<Kernel> make_clear(const KernelRequest& request) {
  expect_operands(request, {}, {"y"});
  const TensorSpec& y = request.outputs[0];
  require(y.space != Space::weight, "clear: y ", to_string(y.shape), " is a frozen weight");

  const int64_t bytes = elements_of(y.shape) * bytes_of(y.dtype);
  return kernel_from([bytes](const Operands& operands) {
    char* y = operands.outputs[0].as<char>();
    parallel_for(bytes, int64_t{1} << 20, [=](int64_t begin, int64_t end) { std::memset(y + begin, 0, end - begin); });
  });
}

LORIKEET_REGISTER_CPU_KERNEL("clear", make_clear);

}  // namespace
}  // namespace lorikeet::cpu
