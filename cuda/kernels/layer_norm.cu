#include "layer_norm.h"

#include "../launch.cuh"
#include "../numeric.cuh"
#include "../reduce.cuh"

namespace LORIKEET_CUDA {
namespace {

constexpr int kWarps = 4;  // rows of a block

template <typename T>
struct Operands {
  Global<const T> x;
  Global<const float> gamma, beta;
  Global<T> y;
  Global<float> stats;
};

// Without gamma or beta (blocks of the DiT family) what a norm of ones and zeros gives.
__device__ __forceinline__ Vector<float, 4> load_parameters(Global<const float> from, int column, float absent) {
  return from ? load_vector<4>(from, column) : Vector<float, 4>{{absent, absent, absent, absent}};
}

// One warp a row, which stays in registers: kAccesses pieces of 16 bytes a lane. columns is a multiple of a piece.
template <typename T, int kAccesses>
__global__ void __launch_bounds__(kWarps * 32) layer_norm_kernel(Operands<T> o, int rows, int columns, float eps) {
  constexpr int kWidth = kPerAccess<T>;
  const int lane = static_cast<int>(threadIdx.x) % 32;
  const int row = static_cast<int>(blockIdx.x) * kWarps + static_cast<int>(threadIdx.x) / 32;
  if (row >= rows) return;
  const int64_t start = static_cast<int64_t>(row) * columns;

  Vector<T, kWidth> x[kAccesses];
  float sum = 0.0f;
  LORIKEET_UNROLL for (int i = 0; i < kAccesses; i++) {
    const int column = (i * 32 + lane) * kWidth;
    if (column >= columns) continue;
    x[i] = load_vector<kWidth>(o.x, start + column);
    LORIKEET_UNROLL for (int e = 0; e < kWidth; e++) sum += to_float(x[i][e]);
  }
  const float mean = warp_sum(sum) / columns;
  float squares = 0.0f;
  LORIKEET_UNROLL for (int i = 0; i < kAccesses; i++) {
    if ((i * 32 + lane) * kWidth >= columns) continue;
    LORIKEET_UNROLL for (int e = 0; e < kWidth; e++) {
      const float distance = to_float(x[i][e]) - mean;
      squares += distance * distance;
    }
  }
  const float inverse_std = 1.0f / sqrtf(warp_sum(squares) / columns + eps);
  LORIKEET_UNROLL for (int i = 0; i < kAccesses; i++) {
    const int column = (i * 32 + lane) * kWidth;
    if (column >= columns) continue;
    Vector<T, kWidth> y;
    LORIKEET_UNROLL for (int e = 0; e < kWidth; e += 4) {
      const Vector<float, 4> gamma = load_parameters(o.gamma, column + e, 1.0f);
      const Vector<float, 4> beta = load_parameters(o.beta, column + e, 0.0f);
      LORIKEET_UNROLL for (int f = 0; f < 4; f++) {
        y[e + f] = from_float<T>((to_float(x[i][e + f]) - mean) * inverse_std * gamma[f] + beta[f]);
      }
    }
    store_vector(o.y, start + column, y);
  }
  if (lane == 0) store_vector(o.stats, 2 * static_cast<int64_t>(row), Vector<float, 2>{{mean, inverse_std}});
}

// Any number of columns: the row is read three times, from the cache after the first.
template <typename T>
__global__ void __launch_bounds__(kWarps * 32) layer_norm_any_kernel(Operands<T> o, int rows, int columns, float eps) {
  const int lane = static_cast<int>(threadIdx.x) % 32;
  const int row = static_cast<int>(blockIdx.x) * kWarps + static_cast<int>(threadIdx.x) / 32;
  if (row >= rows) return;
  const int64_t start = static_cast<int64_t>(row) * columns;

  float sum = 0.0f, squares = 0.0f;
  for (int column = lane; column < columns; column += 32) sum += to_float(load(o.x, start + column));
  const float mean = warp_sum(sum) / columns;
  for (int column = lane; column < columns; column += 32) {
    const float distance = to_float(load(o.x, start + column)) - mean;
    squares += distance * distance;
  }
  const float inverse_std = 1.0f / sqrtf(warp_sum(squares) / columns + eps);
  for (int column = lane; column < columns; column += 32) {
    const float normal = (to_float(load(o.x, start + column)) - mean) * inverse_std;
    const float gamma = o.gamma ? load(o.gamma, column) : 1.0f, beta = o.beta ? load(o.beta, column) : 0.0f;
    store(o.y, start + column, from_float<T>(normal * gamma + beta));
  }
  if (lane == 0) store_vector(o.stats, 2 * static_cast<int64_t>(row), Vector<float, 2>{{mean, inverse_std}});
}

template <typename T>
auto kernel_for(const LayerNorm<T>& p) {
  constexpr int kPiece = 32 * kPerAccess<T>;  // columns that a warp loads at once
  if (p.columns % kPerAccess<T> == 0 && aligned(p.x, p.gamma, p.beta, p.y)) {
    if (p.columns <= kPiece) return &layer_norm_kernel<T, 1>;
    if (p.columns <= 3 * kPiece) return &layer_norm_kernel<T, 3>;
    if (p.columns <= 5 * kPiece) return &layer_norm_kernel<T, 5>;
    if (p.columns <= 10 * kPiece) return &layer_norm_kernel<T, 10>;
  }
  return &layer_norm_any_kernel<T>;
}

}  // namespace

template <typename T>
void launch_layer_norm(const LayerNorm<T>& p, Stream stream) {
  if (p.rows == 0) return;
  LaunchShape shape;
  shape.grid = dim3(blocks_for(p.rows, kWarps));
  shape.block = dim3(kWarps * 32);
  const Operands<T> operands{p.x, p.gamma, p.beta, p.y, p.stats};
  launch("layer_norm", kernel_for(p), shape, stream, operands, p.rows, p.columns, p.eps);
}

template void launch_layer_norm(const LayerNorm<float>&, Stream);
template void launch_layer_norm(const LayerNorm<bf16>&, Stream);

}  // namespace LORIKEET_CUDA
