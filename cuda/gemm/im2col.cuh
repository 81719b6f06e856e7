// The operands of convolutions. The matrix of what a moving window shows of a channels-last image [N, H, W, C], one row
// [kh kw C] for each position of the window, is addressed, never stored; so is, for the gradient by the image, the one
// that has the same weights the other way round.
#pragma once

#include "main_loop.cuh"

namespace LORIKEET_CUDA {

struct Window {
  int height, width;          // of the image
  int out_height, out_width;  // positions of the window
  int kernel_width, stride;
  int top, left;              // rows and columns of zeros before the image
};

// For gradients by the image. Weights [k, kh kw, n] are read at tap first - row * row_step - column * column_step for
// the window's (row, column); its position (y, x) is pixel (y * step + row, x * step + column) of the gradient's image.
struct Taps {
  int first, row_step, column_step;
};
struct Lattice {
  int height, width, step, row, column;
};

struct WindowParameters {
  Window window;
  Divider out_height, out_width, kernel_width;
  Taps taps;
  Lattice lattice;
};

inline WindowParameters window_parameters(const Window& window, const Taps& taps = {}, const Lattice& lattice = {}) {
  return {window, divide_by(window.out_height), divide_by(window.out_width), divide_by(window.kernel_width), taps,
          lattice};
}

// Position `row` of the window.
struct Cell {
  int sample, y, x;
  __device__ __forceinline__ Cell(const WindowParameters& p, int row) {
    const int line = p.out_width.quotient(row);
    sample = p.out_height.quotient(line);
    y = line - sample * p.window.out_height;
    x = row - line * p.window.out_width;
  }
};

// Place of column k in the window.
struct Tap {
  int row, column, channel;
  __device__ __forceinline__ Tap(const WindowParameters& p, const Divider& channels, int k) {
    const int tap = channels.quotient(k);
    channel = k - tap * channels.divisor;
    row = p.kernel_width.quotient(tap);
    column = tap - row * p.window.kernel_width;
  }
};

// Where the window's corner lies in the image at one position, or nowhere.
struct Corner {
  int y, x, pixel;
  __device__ __forceinline__ Corner() {}
  __device__ __forceinline__ Corner(const WindowParameters& p, int row, int rows) {
    const Cell at(p, row);
    y = at.y * p.window.stride - p.window.top;
    x = at.x * p.window.stride - p.window.left;
    pixel = (at.sample * p.window.height + y) * p.window.width + x;
    if (row >= rows) y = -(1 << 29);
  }
  // Whether the tap meets the image. What lies before the image is far behind it without the sign.
  __device__ __forceinline__ bool shows(const WindowParameters& p, const Tap& tap) const {
    return static_cast<unsigned>(y + tap.row) < static_cast<unsigned>(p.window.height) &&
           static_cast<unsigned>(x + tap.column) < static_cast<unsigned>(p.window.width);
  }
  // Of what the tap meets.
  __device__ __forceinline__ int64_t offset(const WindowParameters& p, const Tap& tap, const Divider& channels) const {
    return static_cast<int64_t>(pixel + tap.row * p.window.width + tap.column) * channels.divisor + tap.channel;
  }
};

// A chunk of the matrix: columns from k on at one position of the window. `aligned`: channels are a multiple of a
// chunk's elements, and the image starts at a multiple of 16 bytes; `first`: the tap of column k.
template <typename T>
__device__ __forceinline__ void load_chunk(const WindowParameters& p, const Corner& corner, const Tap& first,
                                           Global<const T> image, const Divider& channels, int k, int columns,
                                           bool aligned, Shared<T> to) {
  if (aligned) {
    const bool any = k < columns && corner.shows(p, first);
    copy_async(to, image + (any ? corner.offset(p, first, channels) : 0), any ? 16 : 0);
  } else {
    Vector<T, kPerAccess<T>> values;
    LORIKEET_UNROLL for (int j = 0; j < kPerAccess<T>; j++) {
      const Tap tap(p, channels, k + j);
      const bool any = k + j < columns && corner.shows(p, tap);
      values[j] = any ? load(image, corner.offset(p, tap, channels)) : T{};
    }
    store_vector(to, 0, values);
  }
}

// Segments with channels are read through the window, with columns k = (row of the window, its column, channel); the
// others are matrices. kLayout_: k_contiguous for the convolution, n_contiguous for its gradient by the image.
template <class Tile_, BLayout kLayout_>
class WindowOperands {
 public:
  using Tile = Tile_;
  using T = typename Tile::Element;
  static constexpr BLayout kLayout = kLayout_;
  static constexpr bool kTransposedA = false;
  using Parameters = WindowParameters;

  // Where the window stands for each row that this thread loads, once for a block.
  __device__ __forceinline__ WindowOperands(const Parameters& p, int rows, int m, int) : p_(p) {
    LORIKEET_UNROLL for (int i = 0; i < kSteps; i++) {
      corners_[i] = Corner(p, m + static_cast<int>(threadIdx.x) / kChunks + i * kRowsAtOnce, rows);
    }
  }

  __device__ __forceinline__ void load_a(const Segment<T>& s, int rows, int m, int k, Shared<T> tile) const {
    if (s.channels.divisor == 0) return Dense({}, rows, m, 0).load_a(s, rows, m, k, tile);
    const int thread = static_cast<int>(threadIdx.x), chunk = thread % kChunks, column = k + chunk * kPerChunk;
    const Tap tap(p_, s.channels, column);
    LORIKEET_UNROLL for (int i = 0; i < kSteps; i++) {
      load_chunk(p_, corners_[i], tap, s.a, s.channels, column, s.k, s.aligned,
                 tile + swizzled<kChunks>(thread / kChunks + i * kRowsAtOnce, chunk) * kPerChunk);
    }
  }

  __device__ __forceinline__ void load_b(const Segment<T>& s, int n, int k, Shared<T> tile) const {
    if (kLayout == BLayout::k_contiguous || s.channels.divisor == 0) return Dense({}, 0, 0, 0).load_b(s, n, k, tile);
    constexpr int kChunksN = Tile::kBlockN / kPerChunk, kRowsOfB = Tile::kThreads / kChunksN;
    const int thread = static_cast<int>(threadIdx.x), chunk = thread % kChunksN, column = n + chunk * kPerChunk;
    const auto load_row = [&](int tile_row, bool in_chunks) {
      const Tap tap(p_, s.channels, k + tile_row);
      const int number = p_.taps.first - tap.row * p_.taps.row_step - tap.column * p_.taps.column_step;
      const int64_t from = tap.channel * s.b_stride + static_cast<int64_t>(number) * s.columns + column;
      const bool any = k + tile_row < s.k && column < s.columns;
      const Shared<T> to = tile + swizzled<kChunksN>(tile_row, chunk) * kPerChunk;
      if (in_chunks) {
        copy_async(to, s.b + (any ? from : 0), any ? 16 : 0);
      } else {
        Vector<T, kPerChunk> values;
        LORIKEET_UNROLL for (int j = 0; j < kPerChunk; j++) {
          values[j] = any && column + j < s.columns ? load(s.b, from + j) : T{};
        }
        store_vector(to, 0, values);
      }
    };
    if (s.aligned) {
      LORIKEET_UNROLL for (int row = 0; row < Tile::kBlockK; row += kRowsOfB) load_row(thread / kChunksN + row, true);
    } else {
      LORIKEET_NO_UNROLL for (int row = 0; row < Tile::kBlockK; row += kRowsOfB) {
        load_row(thread / kChunksN + row, false);
      }
    }
  }

  __device__ __forceinline__ int output_row(int row) const {
    if (kLayout == BLayout::k_contiguous || p_.lattice.step == 1) return row;
    const Cell at(p_, row);
    const int y = at.y * p_.lattice.step + p_.lattice.row, x = at.x * p_.lattice.step + p_.lattice.column;
    return (at.sample * p_.lattice.height + y) * p_.lattice.width + x;
  }

 private:
  using Dense = MatrixOperands<Tile, kLayout>;
  static constexpr int kPerChunk = Tile::kPerChunk;
  static constexpr int kChunks = Tile::kBlockK / kPerChunk, kRowsAtOnce = Tile::kThreads / kChunks;
  static constexpr int kSteps = Tile::kBlockM / kRowsAtOnce;

  const Parameters& p_;
  Corner corners_[kSteps];
};

}  // namespace LORIKEET_CUDA
