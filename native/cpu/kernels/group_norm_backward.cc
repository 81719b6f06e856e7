// group_norm_backward, with ẑ = (z - mean) / std, u = ẑ gamma + beta and du = dy act'(u):
//
//   dbeta = Σ du    dgamma = Σ du ẑ    dx = (gamma du - mean(gamma du) - ẑ mean(gamma du ẑ)) / std
//
// Σ runs over samples and space, the means over space and the channels of a group. The sums per channel of each block
// of rows give all of them; they are added up in the order of the blocks.
#include "group_norm.h"

#include <omp.h>

namespace lorikeet::cpu {
namespace {

using group_norm::Geometry;

// Arrays of the channels' numbers.
struct Table {
  const float* offset;  // ẑ = (x + offset) * scale
  const float* scale;
  const float* gamma;
  const float* beta;
};

template <bool Silu>
LORIKEET_INLINE float through_activation(float dy, float u) {
  if (!Silu) return dy;
  const float s = sigmoid_f32(u);
  return dy * (s * (1.0f + u * (1.0f - s)));
}

// sum_du[c] += Σ du, sum_duz[c] += Σ du ẑ
template <bool Silu, typename T>
LORIKEET_CLONES void sum_gradients(const T* dy, const T* x, int64_t rows, int64_t channels, Table t, float* sum_du,
                                   float* sum_duz) {
  for (int64_t r = 0; r < rows; r++, dy += channels, x += channels) {
#pragma omp simd
    for (int64_t c = 0; c < channels; c++) {
      const float z = (to_f32(x[c]) + t.offset[c]) * t.scale[c];
      const float du = through_activation<Silu>(to_f32(dy[c]), z * t.gamma[c] + t.beta[c]);
      sum_du[c] += du;
      sum_duz[c] += du * z;
    }
  }
}

// dx = du * factor - (mean + ẑ * slope)
template <bool Silu, typename T>
LORIKEET_CLONES void input_gradient(const T* dy, const T* x, T* dx, int64_t rows, int64_t channels, Table t,
                                    const float* factor, const float* mean, const float* slope) {
  for (int64_t r = 0; r < rows; r++, dy += channels, x += channels, dx += channels) {
#pragma omp simd
    for (int64_t c = 0; c < channels; c++) {
      const float z = (to_f32(x[c]) + t.offset[c]) * t.scale[c];
      const float du = through_activation<Silu>(to_f32(dy[c]), z * t.gamma[c] + t.beta[c]);
      dx[c] = from_f32<T>(du * factor[c] - (mean[c] + z * slope[c]));
    }
  }
}

// The sum of `blocks` rows of n, in the place of the first.
LORIKEET_CLONES void sum_blocks(float* sums, int64_t blocks, int64_t n) {
  constexpr int64_t kRun = 64;
  for (int64_t begin = 0; begin < n; begin += kRun) {
    const int64_t count = std::min(kRun, n - begin);
    double total[kRun] = {};
    for (int64_t block = 0; block < blocks; block++) {
#pragma omp simd
      for (int64_t i = 0; i < count; i++) total[i] += sums[block * n + begin + i];
    }
    for (int64_t i = 0; i < count; i++) sums[begin + i] = static_cast<float>(total[i]);
  }
}

template <typename T>
class GroupNormBackward final : public Kernel {
 public:
  GroupNormBackward(const Geometry& geometry, Scratch& scratch) : g_(geometry), scratch_(scratch) {
    // per sample and channel: the table (offset, scale), factor, mean, slope; per block: two sums
    scratch.reserve((g_.samples * 5 + g_.samples * g_.blocks * 2) * g_.channels * 4);
  }

  void run(const Operands& operands) override {
    const T* dy = operands.inputs[0].as<const T>();
    const T* x = operands.inputs[1].as<const T>();
    const float* gamma = operands.inputs[2].as<const float>();
    const float* beta = operands.inputs[3].as<const float>();
    const T* shift = g_.has_shift ? operands.inputs[4].as<const T>() : nullptr;
    const float* stats = operands.inputs[5].as<const float>();
    T* dx = operands.outputs[0].as<T>();
    const int64_t channels = g_.channels;

    for (int64_t sample = 0; sample < g_.samples; sample++) {
      group_norm::fill_table(g_, stats + sample * g_.groups * 2, shift ? shift + sample * channels : nullptr,
                             table(sample, 0), table(sample, 1));
    }
    parallel_for(g_.samples * g_.blocks, 1, [&](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; i++) {
        const int64_t sample = i / g_.blocks, at = first_element(i), rows = g_.rows_of_block(i % g_.blocks);
        const Table t = {table(sample, 0), table(sample, 1), gamma, beta};
        float* sums = block_sums(i);
        std::fill(sums, sums + 2 * channels, 0.0f);
        if (g_.silu) {
          sum_gradients<true>(dy + at, x + at, rows, channels, t, sums, sums + channels);
        } else {
          sum_gradients<false>(dy + at, x + at, rows, channels, t, sums, sums + channels);
        }
      }
    });
    for (int64_t sample = 0; sample < g_.samples; sample++) combine(sample, gamma);
    accumulate(operands, 1, channels);
    accumulate(operands, 2, 0);
    if (!dx) return;
    parallel_for(g_.samples * g_.blocks, 1, [&](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; i++) {
        const int64_t sample = i / g_.blocks, at = first_element(i), rows = g_.rows_of_block(i % g_.blocks);
        const Table t = {table(sample, 0), table(sample, 1), gamma, beta};
        const float *factor = table(sample, 2), *mean = table(sample, 3), *slope = table(sample, 4);
        if (g_.silu) {
          input_gradient<true>(dy + at, x + at, dx + at, rows, channels, t, factor, mean, slope);
        } else {
          input_gradient<false>(dy + at, x + at, dx + at, rows, channels, t, factor, mean, slope);
        }
      }
    });
  }

 private:
  int64_t first_element(int64_t i) const {
    return (i / g_.blocks * g_.rows + i % g_.blocks * g_.block_rows) * g_.channels;
  }
  float* table(int64_t sample, int64_t column) const {
    return static_cast<float*>(scratch_.data()) + (sample * 5 + column) * g_.channels;
  }
  float* block_sums(int64_t i) const {
    return static_cast<float*>(scratch_.data()) + (g_.samples * 5 + i * 2) * g_.channels;
  }

  // Adds the blocks' sums up in the first block's place, and fills the sample's factor, mean and slope.
  void combine(int64_t sample, const float* gamma) const {
    const int64_t channels = g_.channels, width = g_.group_channels();
    float* sums = block_sums(sample * g_.blocks);
    sum_blocks(sums, g_.blocks, 2 * channels);
    for (int64_t group = 0; group < g_.groups; group++) {
      double mean = 0, slope = 0;
      for (int64_t c = group * width; c < (group + 1) * width; c++) {
        mean += static_cast<double>(gamma[c]) * sums[c];
        slope += static_cast<double>(gamma[c]) * sums[channels + c];
      }
      const double count = static_cast<double>(g_.elements_per_group());
      for (int64_t c = group * width; c < (group + 1) * width; c++) {
        const float inverse_std = table(sample, 1)[c];
        table(sample, 2)[c] = inverse_std * gamma[c];
        table(sample, 3)[c] = static_cast<float>(mean / count * inverse_std);
        table(sample, 4)[c] = static_cast<float>(slope / count * inverse_std);
      }
    }
  }

  // dbeta (column 0) or dgamma (column `channels` of the sums), when it is wanted.
  void accumulate(const Operands& operands, size_t output, int64_t column) const {
    if (output >= operands.outputs.size() || !operands.outputs[output].data) return;
    float* gradient = operands.outputs[output].as<float>();
    for (int64_t sample = 0; sample < g_.samples; sample++) {
      const float* sums = block_sums(sample * g_.blocks) + column;
      for (int64_t c = 0; c < g_.channels; c++) gradient[c] += sums[c];
    }
  }

  Geometry g_;
  Scratch& scratch_;
};

std::unique_ptr<Kernel> make_group_norm_backward(const KernelRequest& request) {
  const Geometry g = group_norm::cut_rows(read_group_norm_backward(request));
  return by_dtype(g.dtype, [&](auto zero) -> std::unique_ptr<Kernel> {
    return std::make_unique<GroupNormBackward<decltype(zero)>>(g, request.scratch);
  });
}

LORIKEET_REGISTER_CPU_KERNEL("group_norm_backward", make_group_norm_backward);

}  // namespace
}  // namespace lorikeet::cpu
