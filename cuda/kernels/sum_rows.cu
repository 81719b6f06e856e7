#include "sum_rows.h"

#include "../launch.cuh"
#include "../numeric.cuh"

namespace LORIKEET_CUDA {
namespace {

constexpr int kWarps = 8, kThreads = 32 * kWarps;
constexpr int kPartRows = 256;

template <typename Y>
struct Total {
  Global<Y> y;
  bool add;

  __device__ __forceinline__ void store_at(int64_t i, float sum) const {
    store(y, i, from_float<Y>(add ? to_float(load(y, i)) + sum : sum));
  }
};

// A block sums 32 * kWidth columns of one part: each warp every kWarps-th row, then the warps' sums in their order.
// Those of a group's only part are its total, others go to `sums` [groups, parts, columns].
template <typename T, typename Y, int kWidth>
__global__ void __launch_bounds__(kThreads) sum_rows_kernel(Global<const T> x, int64_t rows, int64_t columns, int parts,
                                                            Global<float> sums, Total<Y> total) {
  constexpr int kPitch = 32 + 32 / kWidth;  // what lanes write by lanes, threads read by columns, neither in conflict
  LORIKEET_SHARED_ARRAY(float, of_warps, kWarps * kWidth * kPitch);
  const int thread = static_cast<int>(threadIdx.x), lane = thread % 32, warp = thread / 32;
  const int tiles = static_cast<int>((columns + 32 * kWidth - 1) / (32 * kWidth));
  const int64_t part = blockIdx.x / tiles, group = part / parts;
  const int64_t first_column = static_cast<int64_t>(blockIdx.x % tiles) * (32 * kWidth);
  const int64_t first = (part - group * parts) * kPartRows, left = rows - first;
  const int count = static_cast<int>(left < kPartRows ? left : kPartRows);

  float sum[kWidth];
  LORIKEET_UNROLL for (int e = 0; e < kWidth; e++) sum[e] = 0.0f;
  const int64_t column = first_column + lane * kWidth;
  if (column < columns) {
    for (int row = warp; row < count; row += kWarps) {
      const Vector<T, kWidth> values = load_vector<kWidth>(x, (group * rows + first + row) * columns + column);
      LORIKEET_UNROLL for (int e = 0; e < kWidth; e++) sum[e] += to_float(values[e]);
    }
  }
  LORIKEET_UNROLL for (int e = 0; e < kWidth; e++) store(of_warps, (warp * kWidth + e) * kPitch + lane, sum[e]);
  sync_block();
  for (int i = thread; i < 32 * kWidth; i += kThreads) {
    const int64_t c = first_column + i;
    if (c >= columns) break;
    float all = 0.0f;
    LORIKEET_UNROLL for (int w = 0; w < kWarps; w++) {
      all += load(of_warps, (w * kWidth + i % kWidth) * kPitch + i / kWidth);
    }
    if (parts == 1) {
      total.store_at(group * columns + c, all);
    } else {
      store(sums, part * columns + c, all);
    }
  }
}

// A thread for each total.
template <typename Y>
__global__ void __launch_bounds__(kThreads) sum_parts_kernel(Global<const float> sums, int64_t groups, int64_t columns,
                                                             int parts, Total<Y> total) {
  const int64_t i = static_cast<int64_t>(blockIdx.x) * kThreads + threadIdx.x;
  if (i >= groups * columns) return;
  const int64_t group = i / columns, column = i - group * columns;
  float sum = 0.0f;
  for (int part = 0; part < parts; part++) sum += load(sums, (group * parts + part) * columns + column);
  total.store_at(i, sum);
}

template <int kWidth, typename T, typename Y>
void start(const SumRows<T, Y>& p, int parts, Stream stream) {
  LaunchShape shape;
  shape.grid = dim3(blocks_for(p.columns, 32 * kWidth) * static_cast<unsigned>(p.groups * parts));
  shape.block = dim3(kThreads);
  launch("sum_rows", &sum_rows_kernel<T, Y, kWidth>, shape, stream, p.x, p.rows, p.columns, parts,
         parts > 1 ? p.sums : nullptr, Total<Y>{p.y, p.add});
}

int64_t parts_of(int64_t rows) { return blocks_for(rows, kPartRows); }

}  // namespace

int64_t sum_rows_scratch(int64_t groups, int64_t rows, int64_t columns) {
  return parts_of(rows) == 1 ? 0 : groups * parts_of(rows) * columns;
}

template <typename T, typename Y>
void launch_sum_rows(const SumRows<T, Y>& p, Stream stream) {
  if (p.groups == 0 || p.columns == 0) return;
  const int parts = static_cast<int>(parts_of(p.rows));  // none without rows
  constexpr int kWidth = kPerAccess<T>;
  if (parts > 0 && p.columns % kWidth == 0 && reinterpret_cast<uintptr_t>(p.x) % 16 == 0) {
    start<kWidth>(p, parts, stream);
  } else if (parts > 0) {
    start<1>(p, parts, stream);
  }
  if (parts == 1) return;
  LaunchShape shape;
  shape.grid = dim3(blocks_for(p.groups * p.columns, kThreads));
  shape.block = dim3(kThreads);
  launch("sum_parts", &sum_parts_kernel<Y>, shape, stream, parts > 1 ? p.sums : nullptr, p.groups, p.columns,
         parts, Total<Y>{p.y, p.add});
}

template void launch_sum_rows(const SumRows<float, float>&, Stream);
template void launch_sum_rows(const SumRows<bf16, bf16>&, Stream);
template void launch_sum_rows(const SumRows<bf16, float>&, Stream);
template void launch_sum_rows(const SumRows<float, bf16>&, Stream);

}  // namespace LORIKEET_CUDA
