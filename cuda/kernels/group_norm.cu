#include "group_norm.h"

#include "../launch.cuh"
#include "../reduce.cuh"
#include "activation.cuh"
#include "group_norm.cuh"

namespace LORIKEET_CUDA {
namespace {

using namespace group_norm;

template <typename T>
struct Operands {
  Global<const T> x, shift;
  Global<const float> gamma, beta;
  Global<T> y;
  Global<float> stats, partial;  // partial: [samples, groups, row blocks, 2], mean and squared distances
  int rows, channels, groups;
  float eps;
};

// Sums are taken of distances from the channel's first row in the block, which leaves no large mean to cancel.
template <typename T, int kWidth>
__global__ void __launch_bounds__(kThreads) group_norm_moments_kernel(Operands<T> o) {
  const BlockRows block(o.rows, o.channels);
  const Share<kWidth> share(o.channels);
  const int values = Share<kWidth>::shared_floats(o.channels);
  const Shared<float> means = dynamic_shared<float>("means", 0, values);
  const Shared<float> squares = dynamic_shared<float>("squares", values * 4, values);

  const int rows = share.row_lane < share.row_lanes ? share.rows_of(share.row_lane, block.count) : 0;
  for (int piece = share.first_piece; rows > 0 && piece < share.pieces; piece += kThreads) {
    float origin[kWidth], sum[kWidth] = {}, square[kWidth] = {};
    for (int i = 0; i < rows; i++) {
      const int64_t row = share.row_lane + i * share.row_lanes;
      const Vector<T, kWidth> x = load_vector<kWidth>(o.x, block.start + row * o.channels + piece * kWidth);
      LORIKEET_UNROLL for (int e = 0; e < kWidth; e++) {
        if (i == 0) origin[e] = to_float(x[e]);
        const float distance = to_float(x[e]) - origin[e];
        sum[e] += distance;
        square[e] += distance * distance;
      }
    }
    const Vector<T, kWidth> shift = load_shift<kWidth>(o.shift, block.sample, o.channels, piece * kWidth);
    LORIKEET_UNROLL for (int e = 0; e < kWidth; e++) {
      const float mean = sum[e] / rows;
      const int at = share.place(share.row_lane, piece * kWidth + e);
      store(means, at, origin[e] + mean + to_float(shift[e]));
      store(squares, at, square[e] - sum[e] * mean);
    }
  }
  sync_block();

  const int warp = static_cast<int>(threadIdx.x) / 32, lane = static_cast<int>(threadIdx.x) % 32;
  const int width = o.channels / o.groups;
  for (int group = warp; group < o.groups; group += kThreads / 32) {
    Moments total = {0.0f, 0.0f, 0.0f};
    for (int i = lane; i < share.row_lanes * width; i += 32) {
      const int row_lane = i / width, channel = group * width + i % width;
      const float count = static_cast<float>(share.rows_of(row_lane, block.count));
      if (count == 0.0f) continue;
      const int at = share.place(row_lane, channel);
      total = combine(total, {count, load(means, at), load(squares, at)});
    }
    total = warp_moments(total);
    if (lane == 0) {
      const int64_t at = (static_cast<int64_t>(block.sample) * o.groups + group) * gridDim.x + blockIdx.x;
      store_vector(o.partial, 2 * at, Vector<float, 2>{{total.mean, total.squares}});
    }
  }
}

// One warp a group of a sample.
template <typename T>
__global__ void __launch_bounds__(kThreads) group_norm_stats_kernel(Operands<T> o, int samples, int blocks) {
  const int index = static_cast<int>(blockIdx.x) * (kThreads / 32) + static_cast<int>(threadIdx.x) / 32;
  const int lane = static_cast<int>(threadIdx.x) % 32;
  if (index >= samples * o.groups) return;
  const int width = o.channels / o.groups;
  Moments total = {0.0f, 0.0f, 0.0f};
  for (int block = lane; block < blocks; block += 32) {
    const int left = o.rows - block * kBlockRows;
    const float count = static_cast<float>((left < kBlockRows ? left : kBlockRows) * width);
    const Vector<float, 2> part = load_vector<2>(o.partial, 2 * (static_cast<int64_t>(index) * blocks + block));
    total = combine(total, {count, part[0], part[1]});
  }
  total = warp_moments(total);
  if (lane == 0) {
    const float inverse_std = 1.0f / sqrtf(total.squares / total.count + o.eps);
    store_vector(o.stats, 2 * static_cast<int64_t>(index), Vector<float, 2>{{total.mean, inverse_std}});
  }
}

// Two blocks a multiprocessor are plenty; left to itself, ptxas saves registers until some of them spill.
template <typename T, int kWidth, bool kSilu>
__global__ void __launch_bounds__(kThreads, 2) group_norm_apply_kernel(Operands<T> o) {
  const BlockRows block(o.rows, o.channels);
  const Share<kWidth> share(o.channels);
  if (share.row_lane >= share.row_lanes) return;
  const int width = o.channels / o.groups;
  for (int piece = share.first_piece; piece < share.pieces; piece += kThreads) {
    float offset[kWidth], scale[kWidth], beta[kWidth];
    load_floats(o.gamma, piece * kWidth, scale);
    load_floats(o.beta, piece * kWidth, beta);
    const Vector<T, kWidth> shift = load_shift<kWidth>(o.shift, block.sample, o.channels, piece * kWidth);
    LORIKEET_UNROLL for (int e = 0; e < kWidth; e++) {
      const int channel = piece * kWidth + e;
      const Vector<float, 2> stats =
          load_vector<2>(o.stats, 2 * (static_cast<int64_t>(block.sample) * o.groups + channel / width));
      offset[e] = to_float(shift[e]) - stats[0];
      scale[e] *= stats[1];
    }
    for (int row = share.row_lane; row < block.count; row += share.row_lanes) {
      const int64_t at = block.start + static_cast<int64_t>(row) * o.channels + piece * kWidth;
      const Vector<T, kWidth> x = load_vector<kWidth>(o.x, at);
      Vector<T, kWidth> y;
      LORIKEET_UNROLL for (int e = 0; e < kWidth; e++) {
        const float normal = (to_float(x[e]) + offset[e]) * scale[e] + beta[e];
        y[e] = from_float<T>(kSilu ? Silu::value(normal) : normal);
      }
      store_vector(o.y, at, y);
    }
  }
}

template <typename T, int kWidth>
void start(const GroupNorm<T>& p, Stream stream) {
  const Operands<T> o{p.x, p.shift, p.gamma, p.beta, p.y, p.stats, p.workspace, p.rows, p.channels, p.groups, p.eps};
  const unsigned blocks = blocks_for(p.rows, kBlockRows);
  LaunchShape shape;
  shape.grid = dim3(blocks, p.samples);
  shape.block = dim3(kThreads);
  LaunchShape moments = shape;
  moments.shared_bytes = 8 * static_cast<size_t>(Share<kWidth>::shared_floats(p.channels));
  launch("group_norm moments", &group_norm_moments_kernel<T, kWidth>, moments, stream, o);
  LaunchShape stats = shape;
  stats.grid = dim3(blocks_for(static_cast<int64_t>(p.samples) * p.groups, kThreads / 32));
  launch("group_norm stats", &group_norm_stats_kernel<T>, stats, stream, o, p.samples, static_cast<int>(blocks));
  if (p.silu) {
    launch("group_norm apply", &group_norm_apply_kernel<T, kWidth, true>, shape, stream, o);
  } else {
    launch("group_norm apply", &group_norm_apply_kernel<T, kWidth, false>, shape, stream, o);
  }
}

}  // namespace

int64_t group_norm_workspace(int samples, int rows, int groups) {
  return 2 * static_cast<int64_t>(samples) * blocks_for(rows, kBlockRows) * groups;
}

template <typename T>
void launch_group_norm(const GroupNorm<T>& p, Stream stream) {
  if (p.samples == 0 || p.rows == 0) return;
  if (p.channels % kWide == 0 && aligned(p.x, p.gamma, p.beta, p.shift, p.y)) {
    start<T, kWide>(p, stream);
  } else {
    start<T, 1>(p, stream);
  }
}

template void launch_group_norm(const GroupNorm<float>&, Stream);
template void launch_group_norm(const GroupNorm<bf16>&, Stream);

}  // namespace LORIKEET_CUDA
