#include "group_norm_backward.h"

#include "../reduce.cuh"
#include "activation.cuh"
#include "group_norm.cuh"
#include "norm_gradients.cuh"

namespace LORIKEET_CUDA {
namespace {

using namespace group_norm;

template <typename T>
struct Operands {
  Global<const T> dy, x, shift;
  Global<const float> gamma, beta, stats;
  Global<T> dx;
  // of blocks of rows: [samples, groups, row blocks, 2], or null; [samples, row blocks, 2, channels], or null
  Global<float> group_sums, channel_sums;
  Global<float> means;  // [samples, groups, 2]: of gamma du and gamma du z, over std
  int rows, channels, groups;
};

// What turns x and dy of kWidth channels into z and du.
template <int kWidth, bool kSilu>
struct Channels {
  float offset[kWidth], scale[kWidth], gamma[kWidth], beta[kWidth];

  template <typename T>
  __device__ __forceinline__ Channels(const Operands<T>& o, int sample, int channel) {
    load_floats(o.gamma, channel, gamma);
    load_floats(o.beta, channel, beta);
    const Vector<T, kWidth> shift = load_shift<kWidth>(o.shift, sample, o.channels, channel);
    const int width = o.channels / o.groups;
    LORIKEET_UNROLL for (int e = 0; e < kWidth; e++) {
      const Vector<float, 2> stats =
          load_vector<2>(o.stats, 2 * (static_cast<int64_t>(sample) * o.groups + (channel + e) / width));
      offset[e] = to_float(shift[e]) - stats[0];
      scale[e] = stats[1];
    }
  }
  __device__ __forceinline__ float z(int e, float x) const { return (x + offset[e]) * scale[e]; }
  __device__ __forceinline__ float du(int e, float dy, float z) const {
    return kSilu ? dy * Silu::derivative(z * gamma[e] + beta[e]) : dy;
  }
};

template <typename T, int kWidth, bool kSilu>
__global__ void __launch_bounds__(kThreads) group_norm_backward_sums_kernel(Operands<T> o) {
  const BlockRows block(o.rows, o.channels);
  const Share<kWidth> share(o.channels);
  const int values = Share<kWidth>::shared_floats(o.channels);
  const Shared<float> sums_du = dynamic_shared<float>("sums of du", 0, values);
  const Shared<float> sums_duz = dynamic_shared<float>("sums of du z", values * 4, values);

  for (int piece = share.first_piece; share.row_lane < share.row_lanes && piece < share.pieces; piece += kThreads) {
    const Channels<kWidth, kSilu> channels(o, block.sample, piece * kWidth);
    float sum_du[kWidth] = {}, sum_duz[kWidth] = {};
    for (int row = share.row_lane; row < block.count; row += share.row_lanes) {
      const int64_t at = block.start + static_cast<int64_t>(row) * o.channels + piece * kWidth;
      const Vector<T, kWidth> dy = load_vector<kWidth>(o.dy, at), x = load_vector<kWidth>(o.x, at);
      LORIKEET_UNROLL for (int e = 0; e < kWidth; e++) {
        const float z = channels.z(e, to_float(x[e])), du = channels.du(e, to_float(dy[e]), z);
        sum_du[e] += du;
        sum_duz[e] += du * z;
      }
    }
    LORIKEET_UNROLL for (int e = 0; e < kWidth; e++) {
      const int at = share.place(share.row_lane, piece * kWidth + e);
      store(sums_du, at, sum_du[e]);
      store(sums_duz, at, sum_duz[e]);
    }
  }
  sync_block();

  const int thread = static_cast<int>(threadIdx.x), warp = thread / 32, lane = thread % 32;
  const int width = o.channels / o.groups;
  const int64_t index = static_cast<int64_t>(block.sample) * gridDim.x + blockIdx.x;
  if (o.channel_sums) {
    for (int channel = thread; channel < o.channels; channel += kThreads) {
      float du = 0.0f, duz = 0.0f;
      for (int row_lane = 0; row_lane < share.row_lanes; row_lane++) {
        du += load(sums_du, share.place(row_lane, channel));
        duz += load(sums_duz, share.place(row_lane, channel));
      }
      store(o.channel_sums, index * 2 * o.channels + channel, duz);
      store(o.channel_sums, (index * 2 + 1) * o.channels + channel, du);
    }
  }
  if (!o.group_sums) return;
  for (int group = warp; group < o.groups; group += kThreads / 32) {
    float du = 0.0f, duz = 0.0f;
    for (int i = lane; i < share.row_lanes * width; i += 32) {
      const int channel = group * width + i % width, at = share.place(i / width, channel);
      const float gamma = load(o.gamma, channel);
      du += gamma * load(sums_du, at);
      duz += gamma * load(sums_duz, at);
    }
    du = warp_sum(du);
    duz = warp_sum(duz);
    if (lane > 0) continue;
    const int64_t at = (static_cast<int64_t>(block.sample) * o.groups + group) * gridDim.x + blockIdx.x;
    store_vector(o.group_sums, 2 * at, Vector<float, 2>{{du, duz}});
  }
}

// One warp a group of a sample.
template <typename T>
__global__ void __launch_bounds__(kThreads) group_norm_backward_means_kernel(Operands<T> o, int samples, int blocks) {
  const int index = static_cast<int>(blockIdx.x) * (kThreads / 32) + static_cast<int>(threadIdx.x) / 32;
  const int lane = static_cast<int>(threadIdx.x) % 32;
  if (index >= samples * o.groups) return;
  float du = 0.0f, duz = 0.0f;
  for (int block = lane; block < blocks; block += 32) {
    const Vector<float, 2> part = load_vector<2>(o.group_sums, 2 * (static_cast<int64_t>(index) * blocks + block));
    du += part[0];
    duz += part[1];
  }
  du = warp_sum(du);
  duz = warp_sum(duz);
  if (lane > 0) return;
  const float count = static_cast<float>(o.rows) * static_cast<float>(o.channels / o.groups);
  const float inverse_std = load(o.stats, 2 * static_cast<int64_t>(index) + 1);
  store_vector(o.means, 2 * static_cast<int64_t>(index),
               Vector<float, 2>{{du / count * inverse_std, duz / count * inverse_std}});
}

template <typename T, int kWidth, bool kSilu>
__global__ void __launch_bounds__(kThreads, 1) group_norm_backward_apply_kernel(Operands<T> o) {
  const BlockRows block(o.rows, o.channels);
  const Share<kWidth> share(o.channels);
  if (share.row_lane >= share.row_lanes) return;
  const int width = o.channels / o.groups;
  for (int piece = share.first_piece; piece < share.pieces; piece += kThreads) {
    const Channels<kWidth, kSilu> channels(o, block.sample, piece * kWidth);
    float mean[kWidth], slope[kWidth];
    LORIKEET_UNROLL for (int e = 0; e < kWidth; e++) {
      const int64_t group = static_cast<int64_t>(block.sample) * o.groups + (piece * kWidth + e) / width;
      const Vector<float, 2> means = load_vector<2>(o.means, 2 * group);
      mean[e] = means[0];
      slope[e] = means[1];
    }
    for (int row = share.row_lane; row < block.count; row += share.row_lanes) {
      const int64_t at = block.start + static_cast<int64_t>(row) * o.channels + piece * kWidth;
      const Vector<T, kWidth> dy = load_vector<kWidth>(o.dy, at), x = load_vector<kWidth>(o.x, at);
      Vector<T, kWidth> dx;
      LORIKEET_UNROLL for (int e = 0; e < kWidth; e++) {
        const float z = channels.z(e, to_float(x[e])), du = channels.du(e, to_float(dy[e]), z);
        dx[e] = from_float<T>(du * (channels.scale[e] * channels.gamma[e]) - (mean[e] + z * slope[e]));
      }
      store_vector(o.dx, at, dx);
    }
  }
}

template <int kWidth, bool kSilu, typename T>
void start(const GroupNormBackward<T>& p, Stream stream) {
  const unsigned blocks = blocks_for(p.rows, kBlockRows);
  const bool wants_sums = p.dgamma || p.dbeta;
  const int64_t groups = static_cast<int64_t>(p.samples) * p.groups;
  float* const means = p.workspace + 2 * groups * blocks;
  float* const channel_sums = means + 2 * groups;
  const Operands<T> o{p.dy,
                      p.x,
                      p.shift,
                      p.gamma,
                      p.beta,
                      p.stats,
                      p.dx,
                      p.dx ? p.workspace : nullptr,
                      wants_sums ? channel_sums : nullptr,
                      means,
                      p.rows,
                      p.channels,
                      p.groups};
  LaunchShape shape;
  shape.grid = dim3(blocks, p.samples);
  shape.block = dim3(kThreads);
  LaunchShape sums = shape;
  sums.shared_bytes = 8 * static_cast<size_t>(Share<kWidth>::shared_floats(p.channels));
  launch("group_norm_backward sums", &group_norm_backward_sums_kernel<T, kWidth, kSilu>, sums, stream, o);
  if (wants_sums) {
    launch_norm_gradients(channel_sums, p.dgamma, p.dbeta, static_cast<int64_t>(p.samples) * blocks, p.channels,
                          stream);
  }
  if (!p.dx) return;
  LaunchShape of_groups = shape;
  of_groups.grid = dim3(blocks_for(groups, kThreads / 32));
  launch("group_norm_backward means", &group_norm_backward_means_kernel<T>, of_groups, stream, o, p.samples,
         static_cast<int>(blocks));
  launch("group_norm_backward", &group_norm_backward_apply_kernel<T, kWidth, kSilu>, shape, stream, o);
}

template <int kWidth, typename T>
void start_for_activation(const GroupNormBackward<T>& p, Stream stream) {
  if (p.silu) return start<kWidth, true>(p, stream);
  start<kWidth, false>(p, stream);
}

}  // namespace

int64_t group_norm_backward_workspace(int samples, int rows, int channels, int groups, bool wants_sums) {
  const int64_t blocks = static_cast<int64_t>(samples) * blocks_for(rows, kBlockRows);
  return 2 * (blocks * groups + static_cast<int64_t>(samples) * groups + (wants_sums ? blocks * channels : 0));
}

template <typename T>
void launch_group_norm_backward(const GroupNormBackward<T>& p, Stream stream) {
  if (p.samples == 0 || p.rows == 0 || p.channels == 0) return;
  if (p.channels % kWide == 0 && aligned(p.dy, p.x, p.gamma, p.beta, p.shift, p.dx)) {
    return start_for_activation<kWide>(p, stream);
  }
  start_for_activation<1>(p, stream);
}

template void launch_group_norm_backward(const GroupNormBackward<float>&, Stream);
template void launch_group_norm_backward(const GroupNormBackward<bf16>&, Stream);

}  // namespace LORIKEET_CUDA
