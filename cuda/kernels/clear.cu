// clear: y = 0, every byte.
#include "../op.h"

namespace LORIKEET_CUDA {
namespace {

Launch make_clear(const CudaRequest& request) {
  expect_operands(request, {}, {"y"});
  const TensorSpec& y = request.outputs[0];
  require(y.space != Space::weight, "clear: y ", to_string(y.shape), " is a frozen weight");

  return [bytes = elements_of(y.shape) * bytes_of(y.dtype)](const Operands& operands, const LaunchContext& context) {
    check(cudaMemsetAsync(operands.outputs[0].data, 0, static_cast<size_t>(bytes), context.stream), "clear");
  };
}

LORIKEET_REGISTER_CUDA_KERNEL("clear", make_clear);

}  // namespace
}  // namespace LORIKEET_CUDA
