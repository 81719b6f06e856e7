// reshape: y = x with another shape of as many elements. Nothing moves when the plan gave both the same bytes.
#include "../op.h"

namespace LORIKEET_CUDA {
namespace {

Launch make_reshape(const CudaRequest& request) {
  expect_operands(request, {"x"}, {"y"});
  const TensorSpec& x = request.inputs[0];
  const TensorSpec& y = request.outputs[0];
  expect_dtype(request, "y", y, {x.dtype});
  require(elements_of(x.shape) == elements_of(y.shape), "reshape: x ", to_string(x.shape), " and y ",
          to_string(y.shape), " differ in elements");

  return [bytes = elements_of(x.shape) * bytes_of(x.dtype)](const Operands& operands, const LaunchContext& context) {
    const void* x = operands.inputs[0].data;
    void* y = operands.outputs[0].data;
    if (x == y) return;
    check(cudaMemcpyAsync(y, x, static_cast<size_t>(bytes), cudaMemcpyDeviceToDevice, context.stream), "reshape");
  };
}

LORIKEET_REGISTER_CUDA_KERNEL("reshape", make_reshape);

}  // namespace
}  // namespace LORIKEET_CUDA
