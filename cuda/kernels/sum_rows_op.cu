#include "../../native/core/ops/sum_rows.h"
#include "../op.h"
#include "sum_rows.h"

namespace LORIKEET_CUDA {
namespace {

template <typename T, typename Y>
Launch launch_of(const SumRowsOp& op) {
  return [=](const Operands& operands, const LaunchContext& context) {
    launch_sum_rows(SumRows<T, Y>{op.groups, op.rows, op.columns, data<const T>(operands.inputs[0]),
                                  data<Y>(operands.outputs[0]), op.add, static_cast<float*>(context.scratch)},
                    context.stream);
  };
}

Launch make_sum_rows(const CudaRequest& request) {
  const SumRowsOp op = read_sum_rows(request);
  request.reserve_scratch(sum_rows_scratch(op.groups, op.rows, op.columns) * 4);
  if (request.inputs[0].dtype == DType::f32) return launch_of<float, float>(op);
  return request.outputs[0].dtype == DType::f32 ? launch_of<bf16, float>(op) : launch_of<bf16, bf16>(op);
}

LORIKEET_REGISTER_CUDA_KERNEL("sum_rows", make_sum_rows);

}  // namespace
}  // namespace LORIKEET_CUDA
