#include "adamw.cuh"

#include "../launch.cuh"

namespace LORIKEET_CUDA {
namespace {

struct Operands {
  Global<const AdamwPiece> piece;
  Global<float> params;
  Global<const float> grads;
  Global<float> m, v;
  Global<const float> norm, scalars;
  Global<bf16> shadow;
};

__global__ void __launch_bounds__(kAdamwThreads) adamw_kernel(Operands o, AdamwSettings settings) {
  const float norm = load(o.norm, 0);
  if (!is_finite(norm)) return;
  const AdamwPiece piece = load(o.piece, blockIdx.x);
  const AdamwFactors factors = adamw_factors(settings, piece, o.scalars, norm);
  for (int i = static_cast<int>(threadIdx.x); i < piece.count; i += kAdamwThreads) {
    const int64_t at = piece.start + i, state = piece.state + i;
    const AdamwElement old = {load(o.m, state), load(o.v, state), load(o.params, at)};
    const AdamwElement next = adamw_update(settings, factors, old, load(o.grads, at));
    store(o.m, state, next.mean);
    store(o.v, state, next.square);
    store(o.params, at, next.parameter);
    if (o.shadow) store(o.shadow, at, from_float<bf16>(next.parameter));
  }
}

}  // namespace

void launch_adamw(const Adamw& p, Stream stream) {
  if (p.pieces == 0) return;
  LaunchShape shape;
  shape.grid = dim3(p.pieces);
  shape.block = dim3(kAdamwThreads);
  const Operands operands{p.piece, p.params, p.grads, p.m, p.v, p.norm, p.scalars, p.shadow};
  launch("adamw", &adamw_kernel, shape, stream, operands, round_settings(p.beta1, p.beta2, p.eps, p.max_norm));
}

}  // namespace LORIKEET_CUDA
