#include "weight_grad.h"

#include <algorithm>

#include "im2col.cuh"
#include "weight_grad.cuh"

namespace LORIKEET_CUDA {
namespace {

struct RowParameters {
  int all_rows, part_rows;
};

// dy^T and x.
template <class Tile_>
class RowOperands : public PartOperands<Tile_> {
 public:
  using Tile = Tile_;
  using T = typename Tile::Element;
  using Parameters = RowParameters;

  __device__ __forceinline__ RowOperands(const Parameters& p, int) : PartOperands<Tile>(p.all_rows, p.part_rows) {}
  __device__ __forceinline__ void load_b(const Segment<T>& s, int n, int k, Shared<T> tile) const {
    const Matrix<T> x{s.b, s.b_stride, this->rows_, s.columns, s.aligned};
    DenseLoader<T, Tile::kBlockK, Tile::kBlockN, Tile::kThreads>::load_tile(x, this->first_ + k, n, tile);
  }
};

struct WindowRowParameters {
  int all_rows, part_rows;
  WindowParameters window;
  Divider channels;
};

// dy^T and what the window shows of x. A thread keeps to its columns of the tile, so it has one tap (or, where channels
// do not fill its chunk, a few) for all rows.
template <class Tile_>
class WindowRowOperands : public PartOperands<Tile_> {
 public:
  using Tile = Tile_;
  using T = typename Tile::Element;
  using Parameters = WindowRowParameters;

  __device__ __forceinline__ WindowRowOperands(const Parameters& p, int n)
      : PartOperands<Tile>(p.all_rows, p.part_rows), p_(p), tap_(p.window, p.channels, column_of(n)) {}
  __device__ __forceinline__ void load_b(const Segment<T>& s, int n, int k, Shared<T> tile) const {
    const int thread = static_cast<int>(threadIdx.x);
    LORIKEET_UNROLL for (int i = 0; i < Tile::kBlockK / kRowsAtOnce; i++) {
      const int tile_row = thread / kChunks + i * kRowsAtOnce;
      const Corner corner(p_.window, this->first_ + k + tile_row, this->rows_);
      load_chunk(p_.window, corner, tap_, s.b, s.channels, column_of(n), s.columns, s.aligned,
                 tile + swizzled<kChunks>(tile_row, thread % kChunks) * Tile::kPerChunk);
    }
  }

 private:
  static constexpr int kChunks = Tile::kBlockN / Tile::kPerChunk, kRowsAtOnce = Tile::kThreads / kChunks;

  static __device__ __forceinline__ int column_of(int n) {
    return n + static_cast<int>(threadIdx.x) % kChunks * Tile::kPerChunk;
  }

  const Parameters& p_;
  Tap tap_;
};

}  // namespace

TileChoice choose_weight_grad_tile(int n, int k) {
  if (k <= 16) return TileChoice::t32x16;
  if (n <= 64) return TileChoice::t64x64;
  return k <= 64 ? TileChoice::t128x64 : TileChoice::t128x128;
}

template <typename T>
int choose_parts(int rows, int n, int k, TileChoice choice) {
  constexpr int kLeastRows = 256;  // below, filling the pipeline and adding up cost more than idle multiprocessors
  // Three blocks for each of 28 multiprocessors leave few idle at the end; 128 have most of them at work at once, and
  // more parts would cost the small cards, in memory traffic for their sums, what they give to the large ones.
  constexpr int kBlocks = 96;
  int64_t blocks = 0;
  with_tile<GradTiles<T>>(choice, [&](auto tile) {
    using Tile = decltype(tile);
    blocks = static_cast<int64_t>(blocks_for(n, Tile::kBlockM)) * blocks_for(k, Tile::kBlockN);
  });
  const int64_t wanted = blocks == 0 ? 1 : kBlocks / blocks;
  return static_cast<int>(std::max<int64_t>(1, std::min<int64_t>(wanted, rows / kLeastRows)));
}

template <typename T>
void launch_weight_grad(const WeightGrad<T>& p, TileChoice tile, Stream stream) {
  const PartedGrad grad{p.rows, p.n, p.k, p.scale, p.dw, p.dw_stride, p.parts, p.sums};
  if (grad.empty()) return;
  const bool all = aligned(p.dy, p.dy_stride) && aligned(p.x, p.x_stride);
  const int part_rows = grad.part_rows();
  const Segment<T> segment{p.dy, p.x, p.dy_stride, p.x_stride, part_rows, 0, p.k, 1.0f, Divider{}, all};
  start_weight_grad<RowOperands>(grad, segment, RowParameters{p.rows, part_rows}, tile, stream);
}

template <typename T>
void launch_conv2d_weight_grad(const Conv2dWeightGrad<T>& p, TileChoice tile, Stream stream) {
  const Convolution& s = p.shape;
  const int rows = s.samples * s.out_height * s.out_width, k = s.kernel_height * s.kernel_width * s.channels;
  const PartedGrad grad{rows, s.outputs, k, p.scale, p.dw, k, p.parts, p.sums};
  if (grad.empty()) return;
  const bool all = aligned(p.dy, s.outputs) && aligned(p.x, s.channels);
  const int part_rows = grad.part_rows();
  const Divider channels = divide_by(s.channels);
  const Segment<T> segment{p.dy, p.x, s.outputs, 0, part_rows, 0, k, 1.0f, channels, all};
  const Window window{s.height, s.width, s.out_height, s.out_width, s.kernel_width, s.stride, s.top, s.left};
  const WindowRowParameters parameters{rows, part_rows, window_parameters(window), channels};
  start_weight_grad<WindowRowOperands>(grad, segment, parameters, tile, stream);
}

template int choose_parts<bf16>(int, int, int, TileChoice);
template int choose_parts<float>(int, int, int, TileChoice);
template void launch_weight_grad(const WeightGrad<bf16>&, TileChoice, Stream);
template void launch_weight_grad(const WeightGrad<float>&, TileChoice, Stream);
template void launch_conv2d_weight_grad(const Conv2dWeightGrad<bf16>&, TileChoice, Stream);
template void launch_conv2d_weight_grad(const Conv2dWeightGrad<float>&, TileChoice, Stream);

}  // namespace LORIKEET_CUDA
