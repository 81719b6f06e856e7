#include "modulate.cuh"
#include "../numeric.cuh"
#include "modulate.h"
#include "sum_rows.h"

namespace LORIKEET_CUDA {
namespace {

constexpr int kPartRows = 64;

template <typename T>
struct Operands {
  Global<const T> dy, x, scale;
  Global<T> dx;
  Global<float> products, values;  // [samples, parts, columns]: sums of dy x, and of dy; or null
};

// The warps' sums in their order, to the block's row of `sums`. Stored by lanes, read by columns: with this pitch
// neither meets a bank twice.
template <int kWidth>
__device__ __forceinline__ void store_sums(const float (&own)[kWidth], Shared<float> of_warps, Global<float> sums,
                                           int columns) {
  constexpr int kPitch = 32 + 32 / kWidth;
  const int thread = static_cast<int>(threadIdx.x), lane = thread % 32, warp = thread / 32;
  LORIKEET_UNROLL for (int e = 0; e < kWidth; e++) store(of_warps, (warp * kWidth + e) * kPitch + lane, own[e]);
  sync_block();
  const int first = static_cast<int>(blockIdx.y) * 32 * kWidth;
  for (int i = thread; i < 32 * kWidth && first + i < columns; i += kPartThreads) {
    float sum = 0.0f;
    LORIKEET_UNROLL for (int w = 0; w < kPartWarps; w++) {
      sum += load(of_warps, (w * kWidth + i % kWidth) * kPitch + i / kWidth);
    }
    store(sums, static_cast<int64_t>(blockIdx.x) * columns + first + i, sum);
  }
}

// columns is a multiple of kWidth.
template <typename T, int kWidth>
__global__ void __launch_bounds__(kPartThreads)
    modulate_backward_kernel(Extent extent, Operands<T> o, float plus) {
  constexpr int kOfWarps = kPartWarps * kWidth * (32 + 32 / kWidth);
  LORIKEET_SHARED_ARRAY(float, of_warps, 2 * kOfWarps);
  const Part<kWidth, kPartRows> part(extent);
  float factor[kWidth] = {}, products[kWidth] = {}, values[kWidth] = {};
  if (part.inside && o.dx) {
    const Vector<T, kWidth> scale = load_vector<kWidth>(o.scale, part.vector);
    LORIKEET_UNROLL for (int e = 0; e < kWidth; e++) factor[e] = plus + to_float(scale[e]);
  }
  const int end = part.inside ? part.rows : 0;
  for (int row = static_cast<int>(threadIdx.x) / 32; row < end; row += kAhead * kPartWarps) {
    Vector<T, kWidth> dy[kAhead] = {}, x[kAhead] = {};
    LORIKEET_UNROLL for (int r = 0; r < kAhead; r++) {
      if (row + r * kPartWarps >= end) continue;
      dy[r] = load_vector<kWidth>(o.dy, part.at(row + r * kPartWarps));
      if (o.products) x[r] = load_vector<kWidth>(o.x, part.at(row + r * kPartWarps));
    }
    LORIKEET_UNROLL for (int r = 0; r < kAhead; r++) {
      if (row + r * kPartWarps >= end) continue;
      LORIKEET_UNROLL for (int e = 0; e < kWidth; e++) {
        products[e] += to_float(dy[r][e]) * to_float(x[r][e]);
        values[e] += to_float(dy[r][e]);
        dy[r][e] = from_float<T>(to_float(dy[r][e]) * factor[e]);
      }
      if (o.dx) store_vector(o.dx, part.at(row + r * kPartWarps), dy[r]);
    }
  }
  if (o.products) store_sums(products, of_warps, o.products, part.columns);
  if (o.values) store_sums(values, of_warps + kOfWarps, o.values, part.columns);
}

unsigned parts_of(int64_t rows) { return blocks_for(rows, kPartRows); }

template <int kWidth, typename T>
void start(const ModulateBackward<T>& p, const Operands<T>& operands, const Extent& extent, Stream stream) {
  launch("modulate_backward", &modulate_backward_kernel<T, kWidth>, part_shape<kWidth, kPartRows>(p.samples, extent),
         stream, extent, operands, p.plus);
}

}  // namespace

int64_t modulate_backward_workspace(int64_t samples, int64_t rows, int columns) {
  return 2 * samples * parts_of(rows) * columns + sum_rows_scratch(samples, parts_of(rows), columns);
}

template <typename T>
void launch_modulate_backward(const ModulateBackward<T>& p, Stream stream) {
  if (p.samples == 0 || p.rows == 0 || p.columns == 0) return;
  const Extent extent{p.rows, p.columns, parts_of(p.rows)};
  const int64_t size = p.samples * extent.parts * p.columns;
  float *products = p.workspace, *values = p.workspace + size, *rest = p.workspace + 2 * size;
  const Operands<T> operands{p.dy, p.x, p.scale, p.dx, p.dscale ? products : nullptr, p.dshift ? values : nullptr};
  if (p.columns % kPerAccess<T> == 0 && aligned(p.dy, p.x, p.scale, p.dx)) {
    start<kPerAccess<T>>(p, operands, extent, stream);
  } else {
    start<1>(p, operands, extent, stream);
  }
  SumRows<float, T> total{p.samples, extent.parts, p.columns, products, p.dscale, false, rest};
  if (p.dscale) launch_sum_rows(total, stream);
  total.x = values, total.y = p.dshift;
  if (p.dshift) launch_sum_rows(total, stream);
}

template void launch_modulate_backward(const ModulateBackward<float>&, Stream);
template void launch_modulate_backward(const ModulateBackward<bf16>&, Stream);

}  // namespace LORIKEET_CUDA
