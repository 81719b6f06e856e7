#include "rms_norm.cuh"
#include "rms_norm.h"
#include "sum_rows.h"

namespace LORIKEET_CUDA {
namespace {

constexpr int kMaxBlocks = 256;  // that leave sums behind: as many as sum_rows takes in one kernel

template <typename T>
struct Operands {
  Global<const T> dy, x;
  Global<const float> weight, stats;
  Global<T> dx;
  Global<float> partial;  // [blocks, columns], or null
  int rows, columns, block_rows;
};

// Each thread's sums of its columns, over all rows of the block, to partial. Stored by threads, read by columns: with
// this pitch neither meets a bank twice.
template <class Row, int kWidth>
__device__ __forceinline__ void store_sums(const float (&sums)[Row::kAccesses][kWidth], Global<float> partial,
                                           int columns) {
  constexpr int kPitch = kRowThreads + 32 / kWidth;
  LORIKEET_SHARED_ARRAY(float, of_threads, Row::kAccesses* kWidth* kPitch);
  const int thread = static_cast<int>(threadIdx.x);
  LORIKEET_UNROLL for (int i = 0; i < Row::kAccesses; i++) {
    LORIKEET_UNROLL for (int e = 0; e < kWidth; e++) {
      store(of_threads, (i * kWidth + e) * kPitch + thread, sums[i][e]);
    }
  }
  sync_block();
  for (int column = thread; column < columns; column += kRowThreads) {
    const int piece = column / kWidth, slot = piece / Row::kLanes * kWidth + column % kWidth;
    float sum = 0.0f;
    for (int row = 0; row < Row::kRows; row++) {
      sum += load(of_threads, slot * kPitch + row * Row::kLanes + piece % Row::kLanes);
    }
    store(partial, static_cast<int64_t>(blockIdx.x) * columns + column, sum);
  }
}

// A lane keeps to its columns; its rows are kRows apart, kAhead of them in registers at once. columns is a multiple of
// a piece.
template <typename T, class Row, int kAhead>
__global__ void __launch_bounds__(kRowThreads) rms_norm_backward_kernel(Operands<T> o) {
  constexpr int kWidth = kPerAccess<T>;
  const int lane = static_cast<int>(threadIdx.x) % Row::kLanes, own = static_cast<int>(threadIdx.x) / Row::kLanes;
  const int first = static_cast<int>(blockIdx.x) * o.block_rows;
  const int end = first + o.block_rows < o.rows ? first + o.block_rows : o.rows;
  float weight[Row::kAccesses][kWidth] = {}, dweight[Row::kAccesses][kWidth] = {};
  LORIKEET_UNROLL for (int i = 0; i < Row::kAccesses; i++) {
    const int column = (i * Row::kLanes + lane) * kWidth;
    if (column < o.columns) load_floats(o.weight, column, weight[i]);
  }
  for (int at = first; at < end; at += kAhead * Row::kRows) {
    Vector<T, kWidth> dy[kAhead][Row::kAccesses] = {}, x[kAhead][Row::kAccesses] = {};
    float scale[kAhead] = {};
    LORIKEET_UNROLL for (int r = 0; r < kAhead; r++) {
      const int row = at + r * Row::kRows + own;
      if (row >= end) continue;
      scale[r] = load(o.stats, row);
      LORIKEET_UNROLL for (int i = 0; i < Row::kAccesses; i++) {
        const int column = (i * Row::kLanes + lane) * kWidth;
        if (column >= o.columns) continue;
        dy[r][i] = load_vector<kWidth>(o.dy, static_cast<int64_t>(row) * o.columns + column);
        x[r][i] = load_vector<kWidth>(o.x, static_cast<int64_t>(row) * o.columns + column);
      }
    }
    LORIKEET_UNROLL for (int r = 0; r < kAhead; r++) {
      const int row = at + r * Row::kRows + own;
      float sum = 0.0f;
      LORIKEET_UNROLL for (int i = 0; i < Row::kAccesses; i++) {
        LORIKEET_UNROLL for (int e = 0; e < kWidth; e++) {
          const float product = to_float(dy[r][i][e]) * (to_float(x[r][i][e]) * scale[r]);
          dweight[i][e] += product;
          sum += product * weight[i][e];
        }
      }
      if (!o.dx) continue;
      const float mean = lanes_sum<Row::kLanes>(sum) / o.columns;
      LORIKEET_UNROLL for (int i = 0; i < Row::kAccesses; i++) {
        const int column = (i * Row::kLanes + lane) * kWidth;
        if (row >= end || column >= o.columns) continue;
        Vector<T, kWidth> dx;
        LORIKEET_UNROLL for (int e = 0; e < kWidth; e++) {
          const float z = to_float(x[r][i][e]) * scale[r];
          dx[e] = from_float<T>((to_float(dy[r][i][e]) * weight[i][e] - z * mean) * scale[r]);
        }
        store_vector(o.dx, static_cast<int64_t>(row) * o.columns + column, dx);
      }
    }
  }
  if (o.partial) store_sums<Row>(dweight, o.partial, o.columns);
}

// Longer rows, in two kernels. This one for the sums of a block of rows, kWidth columns a thread.
template <typename T, int kWidth>
__global__ void __launch_bounds__(kRowThreads) rms_norm_backward_sums_kernel(Operands<T> o) {
  const int column = static_cast<int>(blockIdx.y * kRowThreads + threadIdx.x) * kWidth;
  if (column >= o.columns) return;
  const int first = static_cast<int>(blockIdx.x) * o.block_rows;
  const int end = first + o.block_rows < o.rows ? first + o.block_rows : o.rows;
  float sums[kWidth] = {};
  LORIKEET_UNROLL_BY(4) for (int row = first; row < end; row++) {
    const int64_t at = static_cast<int64_t>(row) * o.columns + column;
    const Vector<T, kWidth> dy = load_vector<kWidth>(o.dy, at), x = load_vector<kWidth>(o.x, at);
    const float scale = load(o.stats, row);
    LORIKEET_UNROLL for (int e = 0; e < kWidth; e++) sums[e] += to_float(dy[e]) * (to_float(x[e]) * scale);
  }
  Vector<float, kWidth> result;
  LORIKEET_UNROLL for (int e = 0; e < kWidth; e++) result[e] = sums[e];
  store_vector(o.partial, static_cast<int64_t>(blockIdx.x) * o.columns + column, result);
}

// And dx, a warp a row, which is read twice, from the cache the second time.
template <typename T, int kWidth>
__global__ void __launch_bounds__(kRowThreads) rms_norm_backward_long_kernel(Operands<T> o) {
  const int lane = static_cast<int>(threadIdx.x) % 32;
  const int row = static_cast<int>((blockIdx.x * kRowThreads + threadIdx.x) / 32);
  if (row >= o.rows) return;
  const int64_t start = static_cast<int64_t>(row) * o.columns;
  const float scale = load(o.stats, row);
  float sum = 0.0f, weight[kWidth];
  for (int column = lane * kWidth; column < o.columns; column += 32 * kWidth) {
    const Vector<T, kWidth> dy = load_vector<kWidth>(o.dy, start + column);
    const Vector<T, kWidth> x = load_vector<kWidth>(o.x, start + column);
    load_floats(o.weight, column, weight);
    LORIKEET_UNROLL for (int e = 0; e < kWidth; e++) sum += to_float(dy[e]) * weight[e] * (to_float(x[e]) * scale);
  }
  const float mean = lanes_sum<32>(sum) / o.columns;
  for (int column = lane * kWidth; column < o.columns; column += 32 * kWidth) {
    const Vector<T, kWidth> dy = load_vector<kWidth>(o.dy, start + column);
    const Vector<T, kWidth> x = load_vector<kWidth>(o.x, start + column);
    load_floats(o.weight, column, weight);
    Vector<T, kWidth> dx;
    LORIKEET_UNROLL for (int e = 0; e < kWidth; e++) {
      dx[e] = from_float<T>((to_float(dy[e]) * weight[e] - to_float(x[e]) * scale * mean) * scale);
    }
    store_vector(o.dx, start + column, dx);
  }
}

// Rows of a block that leaves sums behind, in whole steps of `step`.
int block_rows_for(int rows, int step) { return static_cast<int>(blocks_for(rows, kMaxBlocks * step)) * step; }

template <class Row, typename T>
void start_short(const RmsNormBackward<T>& p, Operands<T>& o, Stream stream) {
  constexpr int kAhead = 4 / Row::kAccesses;
  o.block_rows = p.dweight ? block_rows_for(p.rows, Row::kRows * kAhead) : Row::kRows * kAhead;
  LaunchShape shape;
  shape.grid = dim3(blocks_for(p.rows, o.block_rows));
  shape.block = dim3(kRowThreads);
  launch("rms_norm_backward", &rms_norm_backward_kernel<T, Row, kAhead>, shape, stream, o);
}

template <int kWidth, typename T>
void start_long(const RmsNormBackward<T>& p, Operands<T>& o, Stream stream) {
  LaunchShape shape;
  shape.block = dim3(kRowThreads);
  o.block_rows = block_rows_for(p.rows, 16);
  if (p.dweight) {
    shape.grid = dim3(blocks_for(p.rows, o.block_rows), blocks_for(p.columns, kRowThreads * kWidth));
    launch("rms_norm_backward sums", &rms_norm_backward_sums_kernel<T, kWidth>, shape, stream, o);
  }
  if (!p.dx) return;
  shape.grid = dim3(blocks_for(p.rows, kRowThreads / 32));  // last, since dx may take the place of dy
  launch("rms_norm_backward", &rms_norm_backward_long_kernel<T, kWidth>, shape, stream, o);
}

// The number of blocks that leave sums behind.
template <typename T>
int64_t start(const RmsNormBackward<T>& p, Stream stream) {
  Operands<T> o{p.dy, p.x, p.weight, p.stats, p.dx, p.dweight ? p.workspace : nullptr, p.rows, p.columns, 0};
  const bool wide = aligned(p.dy, p.x, p.weight, p.dx, p.workspace);
  by_length<T>(
      p.columns, wide, [&](auto row) { start_short<decltype(row)>(p, o, stream); },
      [&] {
        if (wide && p.columns % kLongWidth == 0) return start_long<kLongWidth>(p, o, stream);
        start_long<1>(p, o, stream);
      });
  return blocks_for(p.rows, o.block_rows);
}

}  // namespace

int64_t rms_norm_backward_workspace(int rows, int columns) {
  return std::min<int64_t>(rows, kMaxBlocks) * columns;
}

template <typename T>
void launch_rms_norm_backward(const RmsNormBackward<T>& p, Stream stream) {
  if (p.rows == 0 || p.columns == 0) return;
  const int64_t blocks = start(p, stream);
  if (!p.dweight) return;
  launch_sum_rows(SumRows<float, float>{1, blocks, p.columns, p.workspace, p.dweight, true, nullptr}, stream);
}

template void launch_rms_norm_backward(const RmsNormBackward<float>&, Stream);
template void launch_rms_norm_backward(const RmsNormBackward<bf16>&, Stream);

}  // namespace LORIKEET_CUDA
