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
  int rows, columns, block_rows;
  float eps;
};

__device__ __forceinline__ float scale_of(float squares, int columns, float eps) {
  return 1.0f / sqrtf(squares / columns + eps);
}

// A lane keeps to its columns, so that it has their weights in registers; its rows are kRows apart. columns is a multiple
// of a piece.
template <typename T, class Row>
__global__ void __launch_bounds__(kRowThreads) rms_norm_kernel(Operands<T> o) {
  constexpr int kWidth = kPerAccess<T>;
  const int lane = static_cast<int>(threadIdx.x) % Row::kLanes, own = static_cast<int>(threadIdx.x) / Row::kLanes;
  const int first = static_cast<int>(blockIdx.x) * o.block_rows;
  const int end = first + o.block_rows < o.rows ? first + o.block_rows : o.rows;
  float weight[Row::kAccesses][kWidth] = {};
  LORIKEET_UNROLL for (int i = 0; i < Row::kAccesses; i++) {
    const int column = (i * Row::kLanes + lane) * kWidth;
    if (column < o.columns) load_floats(o.weight, column, weight[i]);
  }
  for (int at = first; at < end; at += Row::kRows) {
    const int row = at + own;
    const int64_t start = static_cast<int64_t>(row) * o.columns;
    Vector<T, kWidth> x[Row::kAccesses];
    float squares = 0.0f;
    LORIKEET_UNROLL for (int i = 0; i < Row::kAccesses; i++) {
      const int column = (i * Row::kLanes + lane) * kWidth;
      if (row >= end || column >= o.columns) continue;
      x[i] = load_vector<kWidth>(o.x, start + column);
      LORIKEET_UNROLL for (int e = 0; e < kWidth; e++) squares += to_float(x[i][e]) * to_float(x[i][e]);
    }
    const float scale = scale_of(lanes_sum<Row::kLanes>(squares), o.columns, o.eps);
    LORIKEET_UNROLL for (int i = 0; i < Row::kAccesses; i++) {
      const int column = (i * Row::kLanes + lane) * kWidth;
      if (row >= end || column >= o.columns) continue;
      Vector<T, kWidth> y;
      LORIKEET_UNROLL for (int e = 0; e < kWidth; e++) y[e] = from_float<T>(to_float(x[i][e]) * scale * weight[i][e]);
      store_vector(o.y, start + column, y);
    }
    if (lane == 0 && row < end) store(o.stats, row, scale);
  }
}

// Longer rows, a warp each: read twice, from the cache the second time. columns is a multiple of kWidth.
template <typename T, int kWidth>
__global__ void __launch_bounds__(kRowThreads) rms_norm_long_kernel(Operands<T> o) {
  const int lane = static_cast<int>(threadIdx.x) % 32;
  const int row = static_cast<int>((blockIdx.x * kRowThreads + threadIdx.x) / 32);
  if (row >= o.rows) return;
  const int64_t start = static_cast<int64_t>(row) * o.columns;
  float squares = 0.0f;
  for (int column = lane * kWidth; column < o.columns; column += 32 * kWidth) {
    const Vector<T, kWidth> x = load_vector<kWidth>(o.x, start + column);
    LORIKEET_UNROLL for (int e = 0; e < kWidth; e++) squares += to_float(x[e]) * to_float(x[e]);
  }
  const float scale = scale_of(lanes_sum<32>(squares), o.columns, o.eps);
  for (int column = lane * kWidth; column < o.columns; column += 32 * kWidth) {
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
  // So many blocks keep any card busy; beyond them a block has more rows, for which it loads the weights once.
  constexpr int kBlocks = 512;
  Operands<T> operands{p.x, p.weight, p.y, p.stats, p.rows, p.columns, 0, p.eps};
  const bool wide = aligned(p.x, p.weight, p.y);
  const auto with = [&](auto* kernel, int block_rows) {
    operands.block_rows = block_rows;
    LaunchShape shape;
    shape.grid = dim3(blocks_for(p.rows, block_rows));
    shape.block = dim3(kRowThreads);
    launch("rms_norm", kernel, shape, stream, operands);
  };
  by_length<T>(
      p.columns, wide,
      [&](auto row) {
        constexpr int kRows = decltype(row)::kRows;
        with(&rms_norm_kernel<T, decltype(row)>, static_cast<int>(blocks_for(p.rows, kBlocks * kRows)) * kRows);
      },
      [&] {
        const bool whole = wide && p.columns % kLongWidth == 0;
        with(whole ? &rms_norm_long_kernel<T, kLongWidth> : &rms_norm_long_kernel<T, 1>, kRowThreads / 32);
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
