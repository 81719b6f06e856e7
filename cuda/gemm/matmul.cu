#include "matmul.h"

#include "kernel.cuh"
#include "low_rank.cuh"

namespace LORIKEET_CUDA {
namespace {

template <class Tile>
using ContiguousK = MatrixOperands<Tile, BLayout::k_contiguous>;
template <class Tile>
using ContiguousN = MatrixOperands<Tile, BLayout::n_contiguous>;

}  // namespace

template <typename T>
void launch_matmul(const Matmul<T>& p, TileChoice tile, Stream stream) {
  if (p.m == 0 || p.n == 0) return;
  Segments<T> segments{};
  add_ups(p.ups, p.layout, segments);
  if (p.k > 0) {
    const bool all = aligned(p.x, p.x_stride) && aligned(p.w, p.w_stride);
    segments.at[segments.count++] = {p.x, p.w, p.x_stride, p.w_stride, p.k, 0, p.n, 1.0f, Divider{}, all};
  }
  const Output<T> y = output_of(p.y, p.y_stride, p.m, p.n, p.bias);
  if (p.layout == BLayout::k_contiguous) {
    start_matmul<ContiguousK>("matmul", segments, y, MatrixParameters{}, tile, stream);
  } else {
    start_matmul<ContiguousN>("matmul", segments, y, MatrixParameters{}, tile, stream);
  }
}

template void launch_matmul(const Matmul<bf16>&, TileChoice, Stream);
template void launch_matmul(const Matmul<float>&, TileChoice, Stream);

}  // namespace LORIKEET_CUDA
