#include "../../native/core/ops/adamw.h"

#include "../op.h"
#include "adamw.h"

namespace LORIKEET_CUDA {
namespace {

constexpr int64_t kLongestPiece = 16384;

Launch make_adamw(const CudaRequest& request) {
  const AdamwStep step = read_adamw(request, kLongestPiece);
  std::vector<AdamwPiece> pieces;
  for (const AdamwStep::Piece& piece : step.pieces) {
    pieces.push_back({piece.start, piece.state, piece.weight_decay, static_cast<int32_t>(piece.count),
                      static_cast<int32_t>(piece.group)});
  }
  Adamw fixed{};
  fixed.pieces = static_cast<int>(pieces.size());
  fixed.beta1 = step.options.beta1;
  fixed.beta2 = step.options.beta2;
  fixed.eps = step.options.eps;
  fixed.max_norm = step.options.max_norm;
  const bool has_shadow = request.has_output(3);
  return [=, piece = request.constants(pieces)](const Operands& operands, const LaunchContext& context) {
    Adamw p = fixed;
    p.piece = static_cast<const AdamwPiece*>(piece->data());
    p.params = data<float>(operands.outputs[0]);
    p.grads = data<const float>(operands.inputs[1]);
    p.m = data<float>(operands.outputs[1]);
    p.v = data<float>(operands.outputs[2]);
    p.norm = data<const float>(operands.inputs[4]);
    p.scalars = data<const float>(operands.inputs[5]);
    p.shadow = has_shadow ? data<bf16>(operands.outputs[3]) : nullptr;
    launch_adamw(p, context.stream);
  };
}

LORIKEET_REGISTER_CUDA_KERNEL("adamw", make_adamw);

}  // namespace
}  // namespace LORIKEET_CUDA
