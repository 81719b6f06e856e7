#include "../../native/core/ops/rotary_embedding.h"
#include "../op.h"
#include "rotary_embedding.h"

namespace LORIKEET_CUDA {
namespace {

Launch make_rotary_embedding(const CudaRequest& request) {
  const RotaryEmbeddingOp op = read_rotary_embedding(request);
  return by_dtype(op.dtype, [=](auto zero) -> Launch {
    using T = decltype(zero);
    return [=](const Operands& operands, const LaunchContext& context) {
      RotaryEmbedding<T> p{};
      p.samples = static_cast<int>(op.samples), p.tokens = static_cast<int>(op.tokens);
      p.columns = static_cast<int>(op.columns), p.pairs = static_cast<int>(op.pairs), p.inverse = op.inverse;
      p.x = data<const T>(operands.inputs[0]);
      p.cos = data<const float>(operands.inputs[1]), p.sin = data<const float>(operands.inputs[2]);
      p.y = data<T>(operands.outputs[0]);
      launch_rotary_embedding(p, context.stream);
    };
  });
}

LORIKEET_REGISTER_CUDA_KERNEL("rotary_embedding", make_rotary_embedding);

}  // namespace
}  // namespace LORIKEET_CUDA
