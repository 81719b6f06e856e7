#include "activation.h"

#include "../launch.cuh"
#include "activation.cuh"

namespace LORIKEET_CUDA {
namespace {

constexpr int kThreads = 256;

// f(x), or dy f'(x). The kind is the same for all threads, so to choose it here costs next to nothing, and one kernel
// serves all.
template <class F, bool kBackward, typename T, int kWidth>
__device__ __forceinline__ Vector<T, kWidth> evaluate(const Vector<T, kWidth>& dy, const Vector<T, kWidth>& x) {
  Vector<T, kWidth> result;
  LORIKEET_UNROLL for (int e = 0; e < kWidth; e++) {
    const float at = to_float(x[e]);
    result[e] = from_float<T>(kBackward ? to_float(dy[e]) * F::derivative(at) : F::value(at));
  }
  return result;
}

template <bool kBackward, typename T, int kWidth>
__device__ __forceinline__ void run_piece(Global<const T> dy, Global<const T> x, Global<T> to, int64_t i,
                                          ActivationKind kind) {
  const Vector<T, kWidth> at = load_vector<kWidth>(x, i);
  Vector<T, kWidth> slope{};
  if (kBackward) slope = load_vector<kWidth>(dy, i);
  Vector<T, kWidth> result;
  switch (kind) {
    case ActivationKind::silu: result = evaluate<Silu, kBackward>(slope, at); break;
    case ActivationKind::gelu: result = evaluate<Gelu, kBackward>(slope, at); break;
    case ActivationKind::gelu_tanh: result = evaluate<GeluTanh, kBackward>(slope, at); break;
    case ActivationKind::quick_gelu: result = evaluate<QuickGelu, kBackward>(slope, at); break;
  }
  store_vector(to, i, result);
}

// kWidth elements a thread, the last ones one by one.
template <bool kBackward, typename T, int kWidth>
__global__ void __launch_bounds__(kThreads) activation_kernel(Global<const T> dy, Global<const T> x, Global<T> to,
                                                              int64_t count, ActivationKind kind) {
  const int64_t i = (static_cast<int64_t>(blockIdx.x) * kThreads + threadIdx.x) * kWidth;
  if (i + kWidth <= count) {
    run_piece<kBackward, T, kWidth>(dy, x, to, i, kind);
  } else {
    for (int64_t rest = i; rest < count; rest++) run_piece<kBackward, T, 1>(dy, x, to, rest, kind);
  }
}

template <bool kBackward, int kWidth, typename T>
void start(const T* dy, const T* x, T* to, int64_t count, ActivationKind kind, Stream stream) {
  LaunchShape shape;
  shape.grid = dim3(blocks_for(count, kThreads * kWidth));
  shape.block = dim3(kThreads);
  launch(kBackward ? "activation_backward" : "activation", &activation_kernel<kBackward, T, kWidth>, shape, stream, dy,
         x, to, count, kind);
}

}  // namespace

template <typename T>
void launch_activation(const Activation<T>& p, Stream stream) {
  if (p.count == 0) return;
  const T* none = nullptr;
  if (aligned(p.x, p.y)) return start<false, kPerAccess<T>>(none, p.x, p.y, p.count, p.kind, stream);
  start<false, 1>(none, p.x, p.y, p.count, p.kind, stream);
}

template <typename T>
void launch_activation_backward(const ActivationBackward<T>& p, Stream stream) {
  if (p.count == 0) return;
  if (aligned(p.dy, p.x, p.dx)) return start<true, kPerAccess<T>>(p.dy, p.x, p.dx, p.count, p.kind, stream);
  start<true, 1>(p.dy, p.x, p.dx, p.count, p.kind, stream);
}

template void launch_activation(const Activation<float>&, Stream);
template void launch_activation(const Activation<bf16>&, Stream);
template void launch_activation_backward(const ActivationBackward<float>&, Stream);
template void launch_activation_backward(const ActivationBackward<bf16>&, Stream);

}  // namespace LORIKEET_CUDA
