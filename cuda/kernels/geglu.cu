#include "geglu.h"

#include "../launch.cuh"
#include "activation.cuh"

namespace LORIKEET_CUDA {
namespace {

constexpr int kThreads = 256;

// Both kernels: kWidth elements of a row a thread; columns is a multiple of it. Threads count through y or dy: element
// i stands in row i / columns, and its value and gate are elements i + row columns and that + columns of x.
template <typename T, int kWidth>
__global__ void __launch_bounds__(kThreads) geglu_kernel(Global<const T> x, Global<T> y, int64_t count,
                                                         int64_t columns) {
  const int64_t i = (static_cast<int64_t>(blockIdx.x) * kThreads + threadIdx.x) * kWidth;
  if (i >= count) return;
  const int64_t at = i + i / columns * columns;
  const Vector<T, kWidth> value = load_vector<kWidth>(x, at), gate = load_vector<kWidth>(x, at + columns);
  Vector<T, kWidth> result;
  LORIKEET_UNROLL for (int e = 0; e < kWidth; e++) {
    result[e] = from_float<T>(to_float(value[e]) * Gelu::value(to_float(gate[e])));
  }
  store_vector(y, i, result);
}

// Everything is read before anything is written: dx may be x.
template <typename T, int kWidth>
__global__ void __launch_bounds__(kThreads) geglu_backward_kernel(Global<const T> dy, Global<const T> x, Global<T> dx,
                                                                  int64_t count, int64_t columns) {
  const int64_t i = (static_cast<int64_t>(blockIdx.x) * kThreads + threadIdx.x) * kWidth;
  if (i >= count) return;
  const int64_t at = i + i / columns * columns;
  const Vector<T, kWidth> slope = load_vector<kWidth>(dy, i), value = load_vector<kWidth>(x, at);
  const Vector<T, kWidth> gate = load_vector<kWidth>(x, at + columns);
  Vector<T, kWidth> dvalue, dgate;
  LORIKEET_UNROLL for (int e = 0; e < kWidth; e++) {
    const float d = to_float(slope[e]), g = to_float(gate[e]), cdf = normal_cdf(g);
    dvalue[e] = from_float<T>(d * (g * cdf));
    dgate[e] = from_float<T>(d * to_float(value[e]) * (cdf + g * normal_density(g)));
  }
  store_vector(dx, at, dvalue);
  store_vector(dx, at + columns, dgate);
}

LaunchShape shape_for(int64_t count, int width) {
  LaunchShape shape;
  shape.grid = dim3(blocks_for(count, kThreads * width));
  shape.block = dim3(kThreads);
  return shape;
}

template <int kWidth, typename T>
void start(const Geglu<T>& p, Stream stream) {
  const int64_t count = p.rows * p.columns;
  launch("geglu", &geglu_kernel<T, kWidth>, shape_for(count, kWidth), stream, p.x, p.y, count, p.columns);
}

template <int kWidth, typename T>
void start(const GegluBackward<T>& p, Stream stream) {
  const int64_t count = p.rows * p.columns;
  launch("geglu_backward", &geglu_backward_kernel<T, kWidth>, shape_for(count, kWidth), stream, p.dy, p.x, p.dx, count,
         p.columns);
}

}  // namespace

template <typename T>
void launch_geglu(const Geglu<T>& p, Stream stream) {
  if (p.rows == 0 || p.columns == 0) return;
  if (p.columns % kPerAccess<T> == 0 && aligned(p.x, p.y)) return start<kPerAccess<T>>(p, stream);
  start<1>(p, stream);
}

template <typename T>
void launch_geglu_backward(const GegluBackward<T>& p, Stream stream) {
  if (p.rows == 0 || p.columns == 0) return;
  if (p.columns % kPerAccess<T> == 0 && aligned(p.dy, p.x, p.dx)) return start<kPerAccess<T>>(p, stream);
  start<1>(p, stream);
}

template void launch_geglu(const Geglu<float>&, Stream);
template void launch_geglu(const Geglu<bf16>&, Stream);
template void launch_geglu_backward(const GegluBackward<float>&, Stream);
template void launch_geglu_backward(const GegluBackward<bf16>&, Stream);

}  // namespace LORIKEET_CUDA
