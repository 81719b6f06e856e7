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

// Segments with channels are read through the window, with columns k = (row of the window, its column, channel); the
// others are matrices. kLayout_: k_contiguous for the convolution, n_contiguous for its gradient by the image.
// kAligned_: besides what DenseLoader asks for, channels are multiples of 8.
template <class Tile_, BLayout kLayout_, bool kAligned_>
class WindowOperands {
 public:
  using Tile = Tile_;
  static constexpr BLayout kLayout = kLayout_;
  static constexpr bool kAligned = kAligned_;
  static constexpr bool kTransposedA = false;
  using Parameters = WindowParameters;

  // Where the window stands for each row that this thread loads, once for a block.
  __device__ __forceinline__ WindowOperands(const Parameters& p, int rows, int m) : p_(p) {
    LORIKEET_UNROLL for (int i = 0; i < kSteps; i++) {
      const int row = m + static_cast<int>(threadIdx.x) / kChunks + i * kRowsAtOnce;
      const Cell at(p, row);
      y_[i] = at.y * p.window.stride - p.window.top;
      x_[i] = at.x * p.window.stride - p.window.left;
      pixel_[i] = (at.sample * p.window.height + y_[i]) * p.window.width + x_[i];
      if (row >= rows) y_[i] = kNowhere;
    }
  }

  __device__ __forceinline__ void load_a(const Segment& s, int rows, int m, int k, Shared<bf16> tile) const {
    if (s.channels.divisor == 0) return Dense({}, rows, m).load_a(s, rows, m, k, tile);
    const int thread = static_cast<int>(threadIdx.x), chunk = thread % kChunks, column = k + chunk * 8;
    if (kAligned) {
      const Tap tap(p_, s, column);
      LORIKEET_UNROLL for (int i = 0; i < kSteps; i++) {
        const bool any = column < s.k && shows(i, tap);
        copy_async(tile + swizzled<kChunks>(thread / kChunks + i * kRowsAtOnce, chunk) * 8,
                   s.a + (any ? offset(s, i, tap) : 0), any ? 16 : 0);
      }
    } else {
      LORIKEET_UNROLL for (int i = 0; i < kSteps; i++) {
        Vector<bf16, 8> values;
        LORIKEET_UNROLL for (int j = 0; j < 8; j++) {
          const Tap tap(p_, s, column + j);
          values[j] = column + j < s.k && shows(i, tap) ? load(s.a, offset(s, i, tap)) : bf16{0};
        }
        store_vector(tile + swizzled<kChunks>(thread / kChunks + i * kRowsAtOnce, chunk) * 8, 0, values);
      }
    }
  }

  __device__ __forceinline__ void load_b(const Segment& s, int n, int k, Shared<bf16> tile) const {
    if (kLayout == BLayout::k_contiguous || s.channels.divisor == 0) return Dense({}, 0, 0).load_b(s, n, k, tile);
    constexpr int kChunksN = Tile::kBlockN / 8, kRowsOfB = Tile::kThreads / kChunksN;
    const int thread = static_cast<int>(threadIdx.x), chunk = thread % kChunksN, column = n + chunk * 8;
    LORIKEET_UNROLL for (int i = 0; i < Tile::kBlockK / kRowsOfB; i++) {
      const int tile_row = thread / kChunksN + i * kRowsOfB;
      const Tap tap(p_, s, k + tile_row);
      const int number = p_.taps.first - tap.row * p_.taps.row_step - tap.column * p_.taps.column_step;
      const int64_t from = tap.channel * s.b_stride + static_cast<int64_t>(number) * s.columns + column;
      const bool any = k + tile_row < s.k && column < s.columns;
      const Shared<bf16> to = tile + swizzled<kChunksN>(tile_row, chunk) * 8;
      if (kAligned) {
        copy_async(to, s.b + (any ? from : 0), any ? 16 : 0);
      } else {
        Vector<bf16, 8> values;
        LORIKEET_UNROLL for (int j = 0; j < 8; j++) {
          values[j] = any && column + j < s.columns ? load(s.b, from + j) : bf16{0};
        }
        store_vector(to, 0, values);
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
  using Dense = MatrixOperands<Tile, kLayout, kAligned>;
  static constexpr int kChunks = Tile::kBlockK / 8, kRowsAtOnce = Tile::kThreads / kChunks;
  static constexpr int kSteps = Tile::kBlockM / kRowsAtOnce;
  static constexpr int kNowhere = -(1 << 29);

  // Position `row` of the window.
  struct Cell {
    int sample, y, x;
    __device__ __forceinline__ Cell(const Parameters& p, int row) {
      const int line = p.out_width.quotient(row);
      sample = p.out_height.quotient(line);
      y = line - sample * p.window.out_height;
      x = row - line * p.window.out_width;
    }
  };

  // Place of column k in the window.
  struct Tap {
    int row, column, channel;
    __device__ __forceinline__ Tap(const Parameters& p, const Segment& s, int k) {
      const int tap = s.channels.quotient(k);
      channel = k - tap * s.channels.divisor;
      row = p.kernel_width.quotient(tap);
      column = tap - row * p.window.kernel_width;
    }
  };

  // What lies before the image is far behind it without the sign.
  __device__ __forceinline__ bool shows(int i, const Tap& tap) const {
    return static_cast<unsigned>(y_[i] + tap.row) < static_cast<unsigned>(p_.window.height) &&
           static_cast<unsigned>(x_[i] + tap.column) < static_cast<unsigned>(p_.window.width);
  }
  __device__ __forceinline__ int64_t offset(const Segment& s, int i, const Tap& tap) const {
    return static_cast<int64_t>(pixel_[i] + tap.row * p_.window.width + tap.column) * s.channels.divisor + tap.channel;
  }

  const Parameters& p_;
  int y_[kSteps], x_[kSteps], pixel_[kSteps];
};

}  // namespace LORIKEET_CUDA
