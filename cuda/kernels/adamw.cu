#include "adamw.h"

namespace LORIKEET_CUDA {
namespace {

constexpr int kThreads = 256;

struct Operands {
  Global<const AdamwPiece> piece;
  Global<const double> weight_decay;
  Global<float> params;
  Global<const float> grads;
  Global<float> m, v;
  Global<const float> norm, scalars;
  Global<bf16> shadow;
};

struct Options {
  double beta1, beta2, eps;
  float max_norm;
};

// What is the same for all parameters of a piece, rounded from f64 once, as Python's scalars are.
enum Factor { kDecay, kDenominatorScale, kStepSize, kFactors };

__global__ void __launch_bounds__(kThreads) adamw_kernel(Operands o, Options options) {
  const float norm = load(o.norm, 0);
  if (!(fabsf(norm) <= 3.402823466e38f)) return;  // infinite or not a number
  const AdamwPiece piece = load(o.piece, blockIdx.x);
  LORIKEET_SHARED_ARRAY(float, factors, kFactors);
  if (threadIdx.x == 0) {  // one thread: consumer cards have few f64 units
    const double lr = load(o.scalars, 2 + piece.group);
    store(factors, kDecay, static_cast<float>(1.0 - lr * load(o.weight_decay, blockIdx.x)));
    store(factors, kDenominatorScale, static_cast<float>(sqrt(static_cast<double>(load(o.scalars, 1)))));
    store(factors, kStepSize, static_cast<float>(lr / load(o.scalars, 0)));
  }
  sync_block();
  const float decay = load(factors, kDecay), denominator_scale = load(factors, kDenominatorScale);
  const float step_size = load(factors, kStepSize);

  const float ratio = options.max_norm / (norm + 1e-6f);
  const float clip = options.max_norm > 0.0f && ratio < 1.0f ? ratio : 1.0f;
  const float beta2 = static_cast<float>(options.beta2), eps = static_cast<float>(options.eps);
  const float mean_rate = static_cast<float>(1.0 - options.beta1);
  const float square_rate = static_cast<float>(1.0 - options.beta2);
  const bool near = mean_rate < 0.5f;  // torch.lerp starts from the nearer end
  const float rate = near ? mean_rate : mean_rate - 1.0f;
  for (int i = static_cast<int>(threadIdx.x); i < piece.count; i += kThreads) {
    const int64_t at = piece.start + i;
    const float gradient = load(o.grads, at) * clip, m = load(o.m, at);
    const float mean = (near ? m : gradient) + rate * (gradient - m);
    const float square = load(o.v, at) * beta2 + square_rate * gradient * gradient;
    const float denominator = sqrtf(square) / denominator_scale + eps;
    const float parameter = load(o.params, at) * decay - step_size * mean / denominator;
    store(o.m, at, mean);
    store(o.v, at, square);
    store(o.params, at, parameter);
    if (o.shadow) store(o.shadow, at, from_float<bf16>(parameter));
  }
}

}  // namespace

void launch_adamw(const Adamw& p, Stream stream) {
  if (p.pieces == 0) return;
  LaunchShape shape;
  shape.grid = dim3(p.pieces);
  shape.block = dim3(kThreads);
  const Operands operands{p.piece, p.weight_decay, p.params, p.grads, p.m, p.v, p.norm, p.scalars, p.shadow};
  const Options options{p.beta1, p.beta2, p.eps, static_cast<float>(p.max_norm)};
  launch("adamw", &adamw_kernel, shape, stream, operands, options);
}

}  // namespace LORIKEET_CUDA
