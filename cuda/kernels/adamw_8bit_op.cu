#include "../../native/core/ops/adamw_8bit.h"

#include "../op.h"
#include "adamw_8bit.h"

namespace LORIKEET_CUDA {
namespace {

constexpr int64_t kLongestPiece = 32;  // blocks; four for each warp

QuantisationTable make_table() {
  const QuantisationMap m = quantisation_map(true), v = quantisation_map(false);
  QuantisationTable table;
  std::copy(m.values.begin(), m.values.end(), table.m_values);
  std::copy(m.midpoints.begin(), m.midpoints.end(), table.m_midpoints);
  std::copy(v.values.begin(), v.values.end(), table.v_values);
  std::copy(v.midpoints.begin(), v.midpoints.end(), table.v_midpoints);
  return table;
}

Launch make_adamw_8bit(const CudaRequest& request) {
  const Adamw8BitStep step = read_adamw_8bit(request, kLongestPiece);
  std::vector<AdamwPiece> pieces;
  bool wide = true;
  for (const Adamw8BitStep::Piece& piece : step.pieces) {
    pieces.push_back({piece.start, piece.first_block, piece.weight_decay, static_cast<int32_t>(piece.count),
                      static_cast<int32_t>(piece.group)});
    wide = wide && piece.start % 4 == 0;
  }
  Adamw8Bit fixed{};
  fixed.pieces = static_cast<int>(pieces.size());
  fixed.beta1 = step.options.beta1;
  fixed.beta2 = step.options.beta2;
  fixed.eps = step.options.eps;
  fixed.max_norm = step.options.max_norm;
  const bool has_shadow = request.has_output(5);
  return [=, piece = request.constants(pieces), table = request.constants(std::vector<QuantisationTable>{make_table()})](
             const Operands& operands, const LaunchContext& context) {
    Adamw8Bit p = fixed;
    p.piece = static_cast<const AdamwPiece*>(piece->data());
    p.table = static_cast<const QuantisationTable*>(table->data());
    p.params = data<float>(operands.outputs[0]);
    p.grads = data<const float>(operands.inputs[1]);
    p.m = data<uint32_t>(operands.outputs[1]);
    p.v = data<uint32_t>(operands.outputs[2]);
    p.m_scale = data<float>(operands.outputs[3]);
    p.v_scale = data<float>(operands.outputs[4]);
    p.norm = data<const float>(operands.inputs[6]);
    p.scalars = data<const float>(operands.inputs[7]);
    p.shadow = has_shadow ? data<bf16>(operands.outputs[5]) : nullptr;
    p.wide = wide && aligned(p.params, p.grads, p.shadow);
    launch_adamw_8bit(p, context.stream);
  };
}

LORIKEET_REGISTER_CUDA_KERNEL("adamw_8bit", make_adamw_8bit);

}  // namespace
}  // namespace LORIKEET_CUDA
