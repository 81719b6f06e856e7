#include "layer_norm_backward.h"

#include "layer_norm.cuh"
#include "norm_gradients.cuh"

namespace LORIKEET_CUDA {
namespace {

using namespace layer_norm;

constexpr int kMaxBlocks = 128;  // that leave sums behind
constexpr int kAnyThreads = 128;

template <typename T>
struct Operands {
  Global<const T> dy, x;
  Global<const float> gamma;
  Global<const float> stats;
  Global<T> dx;
  Global<float> partial;  // [blocks, 2, columns], or null
  int rows, columns, block_rows;
};

// columns is a multiple of kWidth.
template <typename T>
__global__ void __launch_bounds__(kMaxThreads) layer_norm_backward_kernel(Operands<T> o) {
  LORIKEET_SHARED_ARRAY(float, stage, 2 * kStage<2 * kRows>);
  const int column = static_cast<int>(threadIdx.x) * kWidth;
  const bool inside = column < o.columns;
  Vector<float, 4> gamma{}, dgamma{}, dbeta{};
  if (inside) gamma = load_parameters(o.gamma, column, 1.0f);
  const int first = static_cast<int>(blockIdx.x) * o.block_rows;
  const int end = first + o.block_rows < o.rows ? first + o.block_rows : o.rows;
  for (int row = first; row < end; row += kRows) {
    Vector<T, kWidth> dy[kRows] = {}, x[kRows] = {};
    Vector<float, 2> stats[kRows] = {};
    float sums[2 * kRows] = {};
    LORIKEET_UNROLL for (int r = 0; r < kRows; r++) {
      if (!inside || row + r >= end) continue;
      const int64_t at = static_cast<int64_t>(row + r) * o.columns + column;
      dy[r] = load_vector<kWidth>(o.dy, at);
      x[r] = load_vector<kWidth>(o.x, at);
      stats[r] = load_vector<2>(o.stats, 2 * static_cast<int64_t>(row + r));
    }
    LORIKEET_UNROLL for (int r = 0; r < kRows; r++) {
      LORIKEET_UNROLL for (int e = 0; e < kWidth; e++) {
        const float d = to_float(dy[r][e]), z = (to_float(x[r][e]) - stats[r][0]) * stats[r][1];
        dgamma[e] += d * z;
        dbeta[e] += d;
        sums[2 * r] += d * gamma[e];
        sums[2 * r + 1] += d * gamma[e] * z;
      }
    }
    if (!o.dx) continue;
    block_sums(sums, stage + (row - first) / kRows % 2 * kStage<2 * kRows>);
    LORIKEET_UNROLL for (int r = 0; r < kRows; r++) {
      if (!inside || row + r >= end) continue;
      const float mean = sums[2 * r] / o.columns, slope = sums[2 * r + 1] / o.columns;
      Vector<T, kWidth> dx;
      LORIKEET_UNROLL for (int e = 0; e < kWidth; e++) {
        const float z = (to_float(x[r][e]) - stats[r][0]) * stats[r][1];
        dx[e] = from_float<T>((to_float(dy[r][e]) * gamma[e] - mean - z * slope) * stats[r][1]);
      }
      store_vector(o.dx, static_cast<int64_t>(row + r) * o.columns + column, dx);
    }
  }
  if (!o.partial || !inside) return;
  const int64_t at = static_cast<int64_t>(blockIdx.x) * 2 * o.columns + column;
  store_vector(o.partial, at, dgamma);
  store_vector(o.partial, at + o.columns, dbeta);
}

// Any number of columns, in two kernels. This one for the sums of a block of rows, a thread a column.
template <typename T>
__global__ void __launch_bounds__(kAnyThreads) layer_norm_backward_any_sums_kernel(Operands<T> o) {
  const int column = static_cast<int>(blockIdx.x * blockDim.x + threadIdx.x);
  if (column >= o.columns) return;
  const int first = static_cast<int>(blockIdx.y) * o.block_rows;
  const int end = first + o.block_rows < o.rows ? first + o.block_rows : o.rows;
  float dgamma = 0.0f, dbeta = 0.0f;
  for (int row = first; row < end; row++) {
    const int64_t at = static_cast<int64_t>(row) * o.columns + column;
    const float mean = load(o.stats, 2 * static_cast<int64_t>(row));
    const float inverse_std = load(o.stats, 2 * static_cast<int64_t>(row) + 1);
    const float dy = to_float(load(o.dy, at));
    dgamma += dy * ((to_float(load(o.x, at)) - mean) * inverse_std);
    dbeta += dy;
  }
  const int64_t at = static_cast<int64_t>(blockIdx.y) * 2 * o.columns + column;
  store(o.partial, at, dgamma);
  store(o.partial, at + o.columns, dbeta);
}

// And dx, a warp a row, which is read twice, from the cache the second time.
template <typename T>
__global__ void __launch_bounds__(kAnyThreads) layer_norm_backward_any_kernel(Operands<T> o) {
  const int lane = static_cast<int>(threadIdx.x) % 32;
  const int row = static_cast<int>((blockIdx.x * blockDim.x + threadIdx.x) / 32);
  if (row >= o.rows) return;
  const int64_t start = static_cast<int64_t>(row) * o.columns;
  const float mean = load(o.stats, 2 * static_cast<int64_t>(row));
  const float inverse_std = load(o.stats, 2 * static_cast<int64_t>(row) + 1);
  float sum = 0.0f, sum_z = 0.0f;
  for (int column = lane; column < o.columns; column += 32) {
    const float g = to_float(load(o.dy, start + column)) * (o.gamma ? load(o.gamma, column) : 1.0f);
    sum += g;
    sum_z += g * ((to_float(load(o.x, start + column)) - mean) * inverse_std);
  }
  const float mean_g = warp_sum(sum) / o.columns, slope = warp_sum(sum_z) / o.columns;
  for (int column = lane; column < o.columns; column += 32) {
    const float g = to_float(load(o.dy, start + column)) * (o.gamma ? load(o.gamma, column) : 1.0f);
    const float z = (to_float(load(o.x, start + column)) - mean) * inverse_std;
    store(o.dx, start + column, from_float<T>((g - mean_g - z * slope) * inverse_std));
  }
}

// Rows of a block that leaves sums behind.
int block_rows_for(int rows) {
  return static_cast<int>(blocks_for(rows, kRows * kMaxBlocks)) * kRows;
}

}  // namespace

int64_t layer_norm_backward_workspace(int rows, int columns) {
  return 2 * static_cast<int64_t>(blocks_for(rows, block_rows_for(rows))) * columns;
}

template <typename T>
void launch_layer_norm_backward(const LayerNormBackward<T>& p, Stream stream) {
  if (p.rows == 0 || p.columns == 0) return;
  const bool wants_sums = p.dgamma || p.dbeta;
  const int block_rows = wants_sums ? block_rows_for(p.rows) : kRows;
  const unsigned blocks = blocks_for(p.rows, block_rows);
  const Operands<T> operands{p.dy, p.x, p.gamma, p.stats, p.dx, wants_sums ? p.workspace : nullptr, p.rows, p.columns,
                             block_rows};
  if (p.columns % kWidth == 0 && p.columns <= kMaxColumns && aligned(p.dy, p.x, p.gamma, p.dx, p.workspace)) {
    launch("layer_norm_backward", &layer_norm_backward_kernel<T>, shape_for(p.columns, blocks), stream, operands);
  } else {
    LaunchShape shape;
    shape.block = dim3(kAnyThreads);
    if (wants_sums) {
      shape.grid = dim3(blocks_for(p.columns, kAnyThreads), blocks);
      launch("layer_norm_backward sums", &layer_norm_backward_any_sums_kernel<T>, shape, stream, operands);
    }
    if (p.dx) {  // last, since it may take the place of dy
      shape.grid = dim3(blocks_for(p.rows, kAnyThreads / 32));
      launch("layer_norm_backward", &layer_norm_backward_any_kernel<T>, shape, stream, operands);
    }
  }
  if (wants_sums) launch_norm_gradients(p.workspace, p.dgamma, p.dbeta, blocks, p.columns, stream);
}

template void launch_layer_norm_backward(const LayerNormBackward<float>&, Stream);
template void launch_layer_norm_backward(const LayerNormBackward<bf16>&, Stream);

}  // namespace LORIKEET_CUDA
