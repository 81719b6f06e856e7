#include "geglu.h"

namespace LORIKEET_CUDA {
namespace {

constexpr int kThreads = 256;

__device__ __forceinline__ float gelu(float x) { return 0.5f * x * (1.0f + erff(x * 0.70710678f)); }

// kWidth elements a thread; columns is a multiple of it.
template <typename T, int kWidth>
__global__ void __launch_bounds__(kThreads) geglu_kernel(Global<const T> x, Global<T> y, int rows, int columns) {
  const int64_t i = (static_cast<int64_t>(blockIdx.x) * kThreads + threadIdx.x) * kWidth;
  const int64_t row = i / columns;
  if (row >= rows) return;
  const int64_t from = row * columns + i;  // 2 row columns + i % columns
  const Vector<T, kWidth> value = load_vector<kWidth>(x, from), gate = load_vector<kWidth>(x, from + columns);
  Vector<T, kWidth> result;
  LORIKEET_UNROLL for (int e = 0; e < kWidth; e++) {
    result[e] = from_float<T>(to_float(value[e]) * gelu(to_float(gate[e])));
  }
  store_vector(y, i, result);
}

template <typename T, int kWidth>
void start(const Geglu<T>& p, Stream stream) {
  LaunchShape shape;
  shape.grid = dim3(blocks_for(static_cast<int64_t>(p.rows) * p.columns, kThreads * kWidth));
  shape.block = dim3(kThreads);
  launch("geglu", &geglu_kernel<T, kWidth>, shape, stream, p.x, p.y, p.rows, p.columns);
}

}  // namespace

template <typename T>
void launch_geglu(const Geglu<T>& p, Stream stream) {
  if (p.rows == 0 || p.columns == 0) return;
  if (p.columns % kPerAccess<T> == 0) {
    start<T, kPerAccess<T>>(p, stream);
  } else {
    start<T, 1>(p, stream);
  }
}

template void launch_geglu(const Geglu<float>&, Stream);
template void launch_geglu(const Geglu<bf16>&, Stream);

}  // namespace LORIKEET_CUDA
