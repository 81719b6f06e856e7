#include "conv2d.h"

#include "im2col.cuh"
#include "kernel.cuh"
#include "low_rank.cuh"

namespace LORIKEET_CUDA {
namespace {

template <class Tile>
using Forward = WindowOperands<Tile, BLayout::k_contiguous>;
template <class Tile>
using Backward = WindowOperands<Tile, BLayout::n_contiguous>;

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

template <typename T>
void start_residue(const Conv2dGradInput<T>& p, int row, int column, TileChoice tile, Stream stream) {
  const Convolution& s = p.shape;
  const Axis y(s.height, s.kernel_height, s.stride, s.top, row), x(s.width, s.kernel_width, s.stride, s.left, column);
  const int rows = s.samples * y.count * x.count, taps = y.taps * x.taps, all_taps = s.kernel_height * s.kernel_width;
  if (rows == 0) return;
  Segments<T> segments{};
  const auto segment = [&](const T* a, const T* b, int channels, float scale) -> Segment<T> {
    const int64_t b_stride = static_cast<int64_t>(all_taps) * s.channels;
    const bool all = aligned(a, channels) && aligned(b, s.channels);
    return {a, b, 0, b_stride, taps * channels, 0, s.channels, scale, divide_by(channels), all};
  };
  for (const LowRankDown<T>& d : p.downs) {
    if (d.rank == 0 || taps == 0 || d.scale == 0.0f) continue;
    add_segment_of_adapter(segment(d.dh, d.down, d.rank, d.scale), segments);
  }
  if (taps * s.outputs > 0) segments.at[segments.count++] = segment(p.dy, p.w, s.outputs, 1.0f);
  const Window window{s.out_height, s.out_width, y.count, x.count, taps > 0 ? x.taps : 1, 1, y.before, x.before};
  const WindowParameters parameters =
      window_parameters(window, {y.last * s.kernel_width + x.last, s.stride * s.kernel_width, s.stride},
                        {s.height, s.width, s.stride, row, column});
  const Output<T> dx = output_of(p.dx, s.channels, rows, s.channels, nullptr);
  start_matmul<Backward>("conv2d_grad_input", segments, dx, parameters, tile, stream);
}

}  // namespace

template <typename T>
void launch_conv2d(const Conv2d<T>& p, TileChoice tile, Stream stream) {
  const Convolution& s = p.shape;
  const int rows = s.samples * s.out_height * s.out_width, k = s.kernel_height * s.kernel_width * s.channels;
  if (rows == 0 || s.outputs == 0) return;
  Segments<T> segments{};
  add_ups(p.ups, BLayout::k_contiguous, segments);
  if (k > 0) {
    const bool all = aligned(p.x, s.channels) && aligned(p.w, s.channels);
    segments.at[segments.count++] = {p.x, p.w, 0, k, k, 0, s.outputs, 1.0f, divide_by(s.channels), all};
  }
  const Window window{s.height, s.width, s.out_height, s.out_width, s.kernel_width, s.stride, s.top, s.left};
  const Output<T> y = output_of(p.y, s.outputs, rows, s.outputs, p.bias);
  start_matmul<Forward>("conv2d", segments, y, window_parameters(window), tile, stream);
}

template <typename T>
void launch_conv2d_grad_input(const Conv2dGradInput<T>& p, TileChoice tile, Stream stream) {
  if (p.shape.channels == 0) return;
  for (int row = 0; row < p.shape.stride; row++) {
    for (int column = 0; column < p.shape.stride; column++) start_residue(p, row, column, tile, stream);
  }
}

template void launch_conv2d(const Conv2d<bf16>&, TileChoice, Stream);
template void launch_conv2d(const Conv2d<float>&, TileChoice, Stream);
template void launch_conv2d_grad_input(const Conv2dGradInput<bf16>&, TileChoice, Stream);
template void launch_conv2d_grad_input(const Conv2dGradInput<float>&, TileChoice, Stream);

}  // namespace LORIKEET_CUDA
