#include "conv2d.h"

#include "im2col.cuh"
#include "kernel.cuh"

namespace LORIKEET_CUDA {
namespace {

template <class Tile, bool kAligned>
using Forward = WindowOperands<Tile, BLayout::k_contiguous, kAligned>;
template <class Tile, bool kAligned>
using Backward = WindowOperands<Tile, BLayout::n_contiguous, kAligned>;

WindowParameters parameters_of(const Window& window, const Taps& taps, const Lattice& lattice) {
  return {window, divide_by(window.out_height), divide_by(window.out_width), divide_by(window.kernel_width), taps,
          lattice};
}

bool all_aligned(const Conv2dGradInput& p) {
  bool all = aligned(p.dy, p.shape.outputs) && aligned(p.w, p.shape.channels) && aligned(p.dx, p.shape.channels);
  for (const LowRankDown& d : p.downs) all &= aligned(d.dh, d.rank) && aligned(d.down, p.shape.channels);
  return all;
}

// One axis of the gradient by the image, for the pixels that are congruent to `residue` modulo the stride. The window
// moves over dy by ones and sees, of the taps congruent to residue + before, the last first:
//
//     dx[stride * i + residue] = sum over t of dy[i + (residue + before - first) / stride - t] w[first + stride * t]
struct Axis {
  int count;   // of pixels
  int taps;    // of the window
  int last;    // of the weights' taps, which the window's first one meets
  int before;  // zeros before dy

  Axis(int size, int kernel, int stride, int zeros, int residue) {
    const int first = (residue + zeros) % stride;
    count = residue < size ? (size - residue - 1) / stride + 1 : 0;
    taps = first < kernel ? (kernel - 1 - first) / stride + 1 : 0;
    last = first + stride * (taps - 1);
    before = taps - 1 - (residue + zeros - first) / stride;
  }
};

void start_residue(const Conv2dGradInput& p, int row, int column, TileChoice tile, Stream stream) {
  const Convolution& s = p.shape;
  const Axis y(s.height, s.kernel_height, s.stride, s.top, row), x(s.width, s.kernel_width, s.stride, s.left, column);
  const int rows = s.samples * y.count * x.count, taps = y.taps * x.taps, all_taps = s.kernel_height * s.kernel_width;
  if (rows == 0) return;
  Segments segments{};
  const auto segment = [&](const bf16* a, const bf16* b, int channels, float scale) -> Segment {
    const int64_t b_stride = static_cast<int64_t>(all_taps) * s.channels;
    return {a, b, 0, b_stride, taps * channels, 0, s.channels, scale, divide_by(channels)};
  };
  for (const LowRankDown& d : p.downs) {
    if (d.rank > 0) add_segment_of_adapter(segment(d.dh, d.down, d.rank, d.scale), segments);
  }
  if (taps * s.outputs > 0) segments.at[segments.count++] = segment(p.dy, p.w, s.outputs, 1.0f);
  const Window window{s.out_height, s.out_width, y.count, x.count, taps > 0 ? x.taps : 1, 1, y.before, x.before};
  const WindowParameters parameters =
      parameters_of(window, {y.last * s.kernel_width + x.last, s.stride * s.kernel_width, s.stride},
                    {s.height, s.width, s.stride, row, column});
  const Output dx{p.dx, s.channels, rows, s.channels, nullptr};
  start_matmul_with<Backward>("conv2d_grad_input", segments, dx, parameters, all_aligned(p), tile, stream);
}

}  // namespace

void launch_conv2d(const Conv2d& p, TileChoice tile, Stream stream) {
  const Convolution& s = p.shape;
  const int rows = s.samples * s.out_height * s.out_width, k = s.kernel_height * s.kernel_width * s.channels;
  if (rows == 0 || s.outputs == 0) return;
  Segments segments{};
  add_ups(p.ups, segments);
  if (k > 0) segments.at[segments.count++] = {p.x, p.w, 0, k, k, 0, s.outputs, 1.0f, divide_by(s.channels)};
  const Window window{s.height, s.width, s.out_height, s.out_width, s.kernel_width, s.stride, s.top, s.left};
  const Output y{p.y, s.outputs, rows, s.outputs, p.bias};
  const bool all = aligned(p.x, s.channels) && aligned(p.w, s.channels) && aligned(p.y, s.outputs);
  start_matmul_with<Forward>("conv2d", segments, y, parameters_of(window, {}, {}), all && ups_aligned(p.ups), tile,
                             stream);
}

void launch_conv2d_grad_input(const Conv2dGradInput& p, TileChoice tile, Stream stream) {
  if (p.shape.channels == 0) return;
  for (int row = 0; row < p.shape.stride; row++) {
    for (int column = 0; column < p.shape.stride; column++) start_residue(p, row, column, tile, stream);
  }
}

}  // namespace LORIKEET_CUDA
