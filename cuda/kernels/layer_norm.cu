#include "layer_norm.h"

#include "layer_norm.cuh"

namespace LORIKEET_CUDA {
namespace {

using namespace layer_norm;

template <typename T>
struct Operands {
  Global<const T> x;
  Global<const float> gamma, beta;
  Global<T> y;
  Global<float> stats;
  int rows, columns, block_rows;
  float eps;
};

// columns is a multiple of kWidth.
template <typename T>
__global__ void __launch_bounds__(kMaxThreads) layer_norm_kernel(Operands<T> o) {
  LORIKEET_SHARED_ARRAY(float, stage, 2 * kStage<kRows>);
  const int column = static_cast<int>(threadIdx.x) * kWidth;
  const bool inside = column < o.columns;
  Vector<float, 4> gamma{}, beta{};
  if (inside) {
    gamma = load_parameters(o.gamma, column, 1.0f);
    beta = load_parameters(o.beta, column, 0.0f);
  }
  const int first = static_cast<int>(blockIdx.x) * o.block_rows;
  const int end = first + o.block_rows < o.rows ? first + o.block_rows : o.rows;
  for (int row = first; row < end; row += kRows) {
    Vector<T, kWidth> x[kRows] = {};
    float sums[kRows] = {}, mean[kRows];
    LORIKEET_UNROLL for (int r = 0; r < kRows; r++) {
      if (!inside || row + r >= end) continue;
      x[r] = load_vector<kWidth>(o.x, static_cast<int64_t>(row + r) * o.columns + column);
      LORIKEET_UNROLL for (int e = 0; e < kWidth; e++) sums[r] += to_float(x[r][e]);
    }
    block_sums(sums, stage);
    LORIKEET_UNROLL for (int r = 0; r < kRows; r++) {
      mean[r] = sums[r] / o.columns;
      sums[r] = 0.0f;
      LORIKEET_UNROLL for (int e = 0; e < kWidth; e++) {
        const float distance = to_float(x[r][e]) - mean[r];
        if (inside) sums[r] += distance * distance;
      }
    }
    block_sums(sums, stage + kStage<kRows>);
    LORIKEET_UNROLL for (int r = 0; r < kRows; r++) {
      if (row + r >= end) continue;
      const float inverse_std = 1.0f / sqrtf(sums[r] / o.columns + o.eps);
      Vector<T, kWidth> y;
      LORIKEET_UNROLL for (int e = 0; e < kWidth; e++) {
        y[e] = from_float<T>((to_float(x[r][e]) - mean[r]) * inverse_std * gamma[e] + beta[e]);
      }
      if (inside) store_vector(o.y, static_cast<int64_t>(row + r) * o.columns + column, y);
      if (threadIdx.x == 0) {
        store_vector(o.stats, 2 * static_cast<int64_t>(row + r), Vector<float, 2>{{mean[r], inverse_std}});
      }
    }
  }
}

constexpr int kWarps = 4;  // rows of a block

// Any number of columns, a warp a row, which is read three times, from the cache after the first.
template <typename T>
__global__ void __launch_bounds__(kWarps * 32) layer_norm_any_kernel(Operands<T> o) {
  const int lane = static_cast<int>(threadIdx.x) % 32;
  const int row = static_cast<int>(blockIdx.x) * kWarps + static_cast<int>(threadIdx.x) / 32;
  if (row >= o.rows) return;
  const int64_t start = static_cast<int64_t>(row) * o.columns;

  float sum = 0.0f, squares = 0.0f;
  for (int column = lane; column < o.columns; column += 32) sum += to_float(load(o.x, start + column));
  const float mean = warp_sum(sum) / o.columns;
  for (int column = lane; column < o.columns; column += 32) {
    const float distance = to_float(load(o.x, start + column)) - mean;
    squares += distance * distance;
  }
  const float inverse_std = 1.0f / sqrtf(warp_sum(squares) / o.columns + o.eps);
  for (int column = lane; column < o.columns; column += 32) {
    const float normal = (to_float(load(o.x, start + column)) - mean) * inverse_std;
    const float gamma = o.gamma ? load(o.gamma, column) : 1.0f, beta = o.beta ? load(o.beta, column) : 0.0f;
    store(o.y, start + column, from_float<T>(normal * gamma + beta));
  }
  if (lane == 0) store_vector(o.stats, 2 * static_cast<int64_t>(row), Vector<float, 2>{{mean, inverse_std}});
}

}  // namespace

template <typename T>
void launch_layer_norm(const LayerNorm<T>& p, Stream stream) {
  if (p.rows == 0) return;
  // So many blocks keep any card busy; beyond them a block has more rows, for which it loads gamma and beta once.
  constexpr int kBlocks = 512;
  const int block_rows = static_cast<int>(blocks_for(p.rows, kBlocks * kRows)) * kRows;
  const Operands<T> operands{p.x, p.gamma, p.beta, p.y, p.stats, p.rows, p.columns, block_rows, p.eps};
  if (p.columns % kWidth == 0 && p.columns <= kMaxColumns && aligned(p.x, p.gamma, p.beta, p.y)) {
    launch("layer_norm", &layer_norm_kernel<T>, shape_for(p.columns, blocks_for(p.rows, block_rows)), stream, operands);
    return;
  }
  LaunchShape shape;
  shape.grid = dim3(blocks_for(p.rows, kWarps));
  shape.block = dim3(kWarps * 32);
  launch("layer_norm", &layer_norm_any_kernel<T>, shape, stream, operands);
}

template void launch_layer_norm(const LayerNorm<float>&, Stream);
template void launch_layer_norm(const LayerNorm<bf16>&, Stream);

}  // namespace LORIKEET_CUDA
