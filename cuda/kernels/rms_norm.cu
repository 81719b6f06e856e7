#include "rms_norm.h"

#include "rms_norm.cuh"

namespace LORIKEET_CUDA {
namespace {

template <typename T>
struct Operands {
  Global<const T> x;
  Global<const float> weight;
  Global<T> y;
  Global<float> stats;
};

__device__ __forceinline__ float scale_of(float squares, int columns, float eps) {
  return 1.0f / sqrtf(squares / columns + eps);
}

// columns is a multiple of a piece.
template <typename T, class Row>
__global__ void __launch_bounds__(kRowThreads) rms_norm_kernel(Operands<T> o, int rows, int columns, float eps) {
  constexpr int kWidth = kPerAccess<T>;
  const int lane = static_cast<int>(threadIdx.x) % Row::kLanes;
  const int row = static_cast<int>(blockIdx.x) * Row::kRows + static_cast<int>(threadIdx.x) / Row::kLanes;
  const int64_t start = static_cast<int64_t>(row) * columns;

  Vector<T, kWidth> x[Row::kAccesses];
  float squares = 0.0f;
  LORIKEET_UNROLL for (int i = 0; i < Row::kAccesses; i++) {
    const int column = (i * Row::kLanes + lane) * kWidth;
    if (row >= rows || column >= columns) continue;
    x[i] = load_vector<kWidth>(o.x, start + column);
    LORIKEET_UNROLL for (int e = 0; e < kWidth; e++) squares += to_float(x[i][e]) * to_float(x[i][e]);
  }
  const float scale = scale_of(lanes_sum<Row::kLanes>(squares), columns, eps);
  if (row >= rows) return;
  LORIKEET_UNROLL for (int i = 0; i < Row::kAccesses; i++) {
    const int column = (i * Row::kLanes + lane) * kWidth;
    if (column >= columns) continue;
    float weight[kWidth];
    load_floats(o.weight, column, weight);
    Vector<T, kWidth> y;
    LORIKEET_UNROLL for (int e = 0; e < kWidth; e++) y[e] = from_float<T>(to_float(x[i][e]) * scale * weight[e]);
    store_vector(o.y, start + column, y);
  }
  if (lane == 0) store(o.stats, row, scale);
}

// Longer rows, a warp each: read twice, from the cache the second time. columns is a multiple of kWidth.
template <typename T, int kWidth>
__global__ void __launch_bounds__(kRowThreads) rms_norm_long_kernel(Operands<T> o, int rows, int columns, float eps) {
  const int lane = static_cast<int>(threadIdx.x) % 32;
  const int row = static_cast<int>((blockIdx.x * kRowThreads + threadIdx.x) / 32);
  if (row >= rows) return;
  const int64_t start = static_cast<int64_t>(row) * columns;
  float squares = 0.0f;
  for (int column = lane * kWidth; column < columns; column += 32 * kWidth) {
    const Vector<T, kWidth> x = load_vector<kWidth>(o.x, start + column);
    LORIKEET_UNROLL for (int e = 0; e < kWidth; e++) squares += to_float(x[e]) * to_float(x[e]);
  }
  const float scale = scale_of(lanes_sum<32>(squares), columns, eps);
  for (int column = lane * kWidth; column < columns; column += 32 * kWidth) {
    const Vector<T, kWidth> x = load_vector<kWidth>(o.x, start + column);
    float weight[kWidth];
    load_floats(o.weight, column, weight);
    Vector<T, kWidth> y;
    LORIKEET_UNROLL for (int e = 0; e < kWidth; e++) y[e] = from_float<T>(to_float(x[e]) * scale * weight[e]);
    store_vector(o.y, start + column, y);
  }
  if (lane == 0) store(o.stats, row, scale);
}

template <typename T>
void start(const RmsNorm<T>& p, Stream stream) {
  const Operands<T> operands{p.x, p.weight, p.y, p.stats};
  const bool wide = aligned(p.x, p.weight, p.y);
  const auto with = [&](auto* kernel, int rows) {
    LaunchShape shape;
    shape.grid = dim3(blocks_for(p.rows, rows));
    shape.block = dim3(kRowThreads);
    launch("rms_norm", kernel, shape, stream, operands, p.rows, p.columns, p.eps);
  };
  by_length<T>(
      p.columns, wide, [&](auto row) { with(&rms_norm_kernel<T, decltype(row)>, decltype(row)::kRows); },
      [&] {
        const bool whole = wide && p.columns % kPerAccess<T> == 0;
        with(whole ? &rms_norm_long_kernel<T, kPerAccess<T>> : &rms_norm_long_kernel<T, 1>, kRowThreads / 32);
      });
}

}  // namespace

template <typename T>
void launch_rms_norm(const RmsNorm<T>& p, Stream stream) {
  if (p.rows > 0 && p.columns > 0) start(p, stream);
}

template void launch_rms_norm(const RmsNorm<float>&, Stream);
template void launch_rms_norm(const RmsNorm<bf16>&, Stream);

}  // namespace LORIKEET_CUDA
