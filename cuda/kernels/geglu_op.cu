#include "../op.h"
#include "geglu.h"

namespace LORIKEET_CUDA {
namespace {

void expect_even(const CudaRequest& request, const TensorSpec& x) {
  require(columns_of(x) % 2 == 0, request.instruction.op, ": x ", to_string(x.shape),
          " must have an even number of columns");
}

Launch make_geglu(const CudaRequest& request) {
  expect_operands(request, {"x"}, {"y"});
  const TensorSpec& x = request.inputs[0];
  const TensorSpec& y = request.outputs[0];
  expect_compute_dtype(request, "x", x);
  expect_even(request, x);
  expect_dtype(request, "y", y, {x.dtype});
  expect_shape(request, "y", y, with_columns(x.shape, columns_of(x) / 2), "x", x);
  const int64_t rows = rows_of(y), columns = columns_of(y);
  return by_dtype(x.dtype, [=](auto zero) -> Launch {
    using T = decltype(zero);
    return [=](const Operands& operands, const LaunchContext& context) {
      launch_geglu<T>({rows, columns, data<const T>(operands.inputs[0]), data<T>(operands.outputs[0])},
                      context.stream);
    };
  });
}

Launch make_geglu_backward(const CudaRequest& request) {
  expect_operands(request, {"dy", "x"}, {"dx"});
  const TensorSpec& dy = request.inputs[0];
  const TensorSpec& x = request.inputs[1];
  const TensorSpec& dx = request.outputs[0];
  expect_compute_dtype(request, "x", x);
  expect_even(request, x);
  expect_dtype(request, "dy", dy, {x.dtype});
  expect_dtype(request, "dx", dx, {x.dtype});
  expect_shape(request, "dy", dy, with_columns(x.shape, columns_of(x) / 2), "x", x);
  expect_shape(request, "dx", dx, x.shape, "x", x);
  const int64_t rows = rows_of(dy), columns = columns_of(dy);
  return by_dtype(x.dtype, [=](auto zero) -> Launch {
    using T = decltype(zero);
    return [=](const Operands& operands, const LaunchContext& context) {
      launch_geglu_backward<T>({rows, columns, data<const T>(operands.inputs[0]), data<const T>(operands.inputs[1]),
                                data<T>(operands.outputs[0])},
                               context.stream);
    };
  });
}

LORIKEET_REGISTER_CUDA_KERNEL("geglu", make_geglu);
LORIKEET_REGISTER_CUDA_KERNEL("geglu_backward", make_geglu_backward);

}  // namespace
}  // namespace LORIKEET_CUDA
