// What group_norm and its gradient share: how rows are cut into blocks, and how the threads of a block share them.
#pragma once

#include "../numeric.cuh"

namespace LORIKEET_CUDA {
namespace group_norm {

constexpr int kThreads = 512;
constexpr int kBlockRows = 32;  // rows of a block: the first level of an SD 1.5 UNet gives 128 blocks
// Channels of a thread where operands allow it: 16 bytes of f32, so that lanes ask for whole sectors of gamma and beta as
// of x.
constexpr int kWide = 4;

// How the threads of a block share its rows: each keeps to its pieces of kWidth channels, so that what belongs to a
// channel is loaded once, and neighbours read neighbouring pieces of a row. A group may begin inside a piece.
template <int kWidth>
struct Share {
  int pieces, pitch, row_lanes, first_piece, row_lane;

  __device__ __forceinline__ explicit Share(int channels) : pieces(channels / kWidth), pitch(pitch_of(pieces)) {
    const int thread = static_cast<int>(threadIdx.x), across = pieces < kThreads ? pieces : kThreads;
    row_lanes = kThreads / across;
    first_piece = thread % across;
    row_lane = thread / across;
  }
  // Where shared memory keeps a number of one channel and row lane: neighbouring pieces side by side, as neighbouring
  // threads write them; an odd distance apart, so that a group's channels lie on different banks when they are read.
  __device__ __forceinline__ int place(int lane, int channel) const {
    return (lane * kWidth + channel % kWidth) * pitch + channel / kWidth;
  }
  // Rows of the block that a row lane sees.
  __device__ __forceinline__ int rows_of(int lane, int block_rows) const {
    return lane < block_rows ? (block_rows - lane + row_lanes - 1) / row_lanes : 0;
  }
  __host__ __device__ static int pitch_of(int pieces) { return pieces | 1; }
  __host__ __device__ static int shared_floats(int channels) {
    const int pieces = channels / kWidth;
    return (pieces < kThreads ? kThreads / pieces : 1) * kWidth * pitch_of(pieces);
  }
};

template <int kWidth>
__device__ __forceinline__ void load_floats(Global<const float> from, int i, float (&values)[kWidth]) {
  constexpr int kAtOnce = kWidth % 4 == 0 ? 4 : 1;
  LORIKEET_UNROLL for (int e = 0; e < kWidth; e += kAtOnce) {
    const Vector<float, kAtOnce> part = load_vector<kAtOnce>(from, i + e);
    LORIKEET_UNROLL for (int f = 0; f < kAtOnce; f++) values[e + f] = part[f];
  }
}

// The shift of kWidth channels from `channel` on, or zeros when there is none; shift is [samples, channels].
template <int kWidth, typename T>
__device__ __forceinline__ Vector<T, kWidth> load_shift(Global<const T> shift, int sample, int channels, int channel) {
  if (shift) return load_vector<kWidth>(shift, static_cast<int64_t>(sample) * channels + channel);
  return Vector<T, kWidth>{};
}

// Where the rows of this block start, and how many there are. Blocks: x over the rows of a sample, y over samples.
struct BlockRows {
  int sample, count;
  int64_t start;  // element

  __device__ __forceinline__ BlockRows(int rows, int channels) : sample(static_cast<int>(blockIdx.y)) {
    const int first = static_cast<int>(blockIdx.x) * kBlockRows;
    count = rows - first < kBlockRows ? rows - first : kBlockRows;
    start = (static_cast<int64_t>(sample) * rows + first) * channels;
  }
};

}  // namespace group_norm
}  // namespace LORIKEET_CUDA
