// reshape: y = x with another shape of as many elements. Nothing moves when the plan gave both the same bytes.
#include <cstring>

#include "../elementwise.h"

namespace lorikeet::cpu {
namespace {

std::unique_ptr<Kernel> make_reshape(const KernelRequest& request) {
  expect_operands(request, {"x"}, {"y"});
  const TensorSpec& x = request.inputs[0];
  const TensorSpec& y = request.outputs[0];
  expect_dtype(request, "y", y, {x.dtype});
  require(elements_of(x.shape) == elements_of(y.shape), "reshape: x ", to_string(x.shape), " and y ", to_string(y.shape),
          " differ in elements");

  const int64_t bytes = elements_of(x.shape) * bytes_of(x.dtype);
  return kernel_from([bytes](const Operands& operands) {
    const void* x = operands.inputs[0].data;
    void* y = operands.outputs[0].data;
    if (x != y) std::memcpy(y, x, bytes);
  });
}

LORIKEET_REGISTER_CPU_KERNEL("reshape", make_reshape);

}  // namespace
}  // namespace lorikeet::cpu
