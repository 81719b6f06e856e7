#include "matmul.h"

#include "kernel.cuh"

namespace LORIKEET_CUDA {
namespace {

template <class Tile>
using ContiguousK = MatrixOperands<Tile, BLayout::k_contiguous>;
template <class Tile>
using ContiguousN = MatrixOperands<Tile, BLayout::n_contiguous>;

}  // namespace

TileChoice choose_tile(int64_t m, int64_t n, int multiprocessors) {
  // Time of one block, with the share of the tensor rate that its warps' tiles can reach.
  struct Option {
    TileChoice choice;
    int m, n;
    double rate;
  };
  constexpr Option options[] = {{TileChoice::t128x128, 128, 128, 1.0},
                                {TileChoice::t128x64, 128, 64, 0.9},
                                {TileChoice::t64x64, 64, 64, 0.8},
                                {TileChoice::t32x16, 32, 16, 0.25}};
  TileChoice best = TileChoice::t128x128;
  double least = 0;
  for (const Option& option : options) {
    const int64_t blocks = static_cast<int64_t>(blocks_for(m, option.m)) * blocks_for(n, option.n);
    const double time = static_cast<double>(blocks_for(blocks, multiprocessors)) * option.m * option.n / option.rate;
    if (least == 0 || time < least) {
      least = time;
      best = option.choice;
    }
  }
  return best;
}

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
