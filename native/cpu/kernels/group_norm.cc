// group_norm: z = x + shift, normalised over space and the channels of a group; y = act(ẑ gamma + beta).
//
// Statistics are exact in structure: per block of rows the mean first and then the squared distances from it, while the
// block is in the cache; blocks are combined in double precision (Chan, Golub, LeVeque 1983). Loops run over whole rows
// of channels, since one group's channels (10 of 320) are too few for a vector.
#include "group_norm.h"

#include <omp.h>

#include <cmath>

namespace lorikeet::cpu {
namespace {

using group_norm::Geometry;

template <typename T>
LORIKEET_CLONES void sum_columns(const T* x, int64_t rows, int64_t channels, float* sum) {
  int64_t r = 0;
  for (; r + 4 <= rows; r += 4, x += 4 * channels) {
#pragma omp simd
    for (int64_t c = 0; c < channels; c++) {
      sum[c] += (to_f32(x[c]) + to_f32(x[channels + c])) + (to_f32(x[2 * channels + c]) + to_f32(x[3 * channels + c]));
    }
  }
  for (; r < rows; r++, x += channels) {
#pragma omp simd
    for (int64_t c = 0; c < channels; c++) sum[c] += to_f32(x[c]);
  }
}

// sum[c] += (x + offset)^2
template <typename T>
LORIKEET_CLONES void sum_squares(const T* x, int64_t rows, int64_t channels, const float* offset, float* sum) {
  int64_t r = 0;
  for (; r + 2 <= rows; r += 2, x += 2 * channels) {
#pragma omp simd
    for (int64_t c = 0; c < channels; c++) {
      const float a = to_f32(x[c]) + offset[c], b = to_f32(x[channels + c]) + offset[c];
      sum[c] += a * a + b * b;
    }
  }
  for (; r < rows; r++, x += channels) {
#pragma omp simd
    for (int64_t c = 0; c < channels; c++) {
      const float a = to_f32(x[c]) + offset[c];
      sum[c] += a * a;
    }
  }
}

template <bool Silu, typename T>
LORIKEET_CLONES void apply(const T* x, T* y, int64_t rows, int64_t channels, const float* offset, const float* scale,
                           const float* beta) {
  for (int64_t r = 0; r < rows; r++, x += channels, y += channels) {
#pragma omp simd
    for (int64_t c = 0; c < channels; c++) {
      const float u = (to_f32(x[c]) + offset[c]) * scale[c] + beta[c];
      y[c] = from_f32<T>(Silu ? u * sigmoid_f32(u) : u);
    }
  }
}

// Moments of a block of one group of z: the mean, and the sum of squared distances from it.
struct Moments {
  double mean, squares;
};

template <typename T>
class GroupNorm final : public Kernel {
 public:
  GroupNorm(const Geometry& geometry, Scratch& scratch) : g_(geometry), scratch_(scratch), threads_(thread_count()) {
    scratch.reserve(moments_bytes() + threads_ * 2 * g_.channels * 4);
  }

  void run(const Operands& operands) override {
    require(thread_count() <= threads_, "group_norm: compiled for ", threads_, " threads, run with ", thread_count());
    const T* x = operands.inputs[0].as<const T>();
    const float* gamma = operands.inputs[1].as<const float>();
    const float* beta = operands.inputs[2].as<const float>();
    const T* shift = operands.inputs.size() > 3 ? operands.inputs[3].as<const T>() : nullptr;
    T* y = operands.outputs[0].as<T>();
    float* stats = operands.outputs[1].as<float>();

    parallel_for(g_.samples * g_.blocks, 1, [&](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; i++) {
        const int64_t sample = i / g_.blocks;
        measure(x + first_element(i), i % g_.blocks, shift ? shift + sample * g_.channels : nullptr, moments(i));
      }
    });
    for (int64_t sample = 0; sample < g_.samples; sample++) combine(sample, stats + sample * g_.groups * 2);
    parallel_for(g_.samples * g_.blocks, 1, [&](int64_t begin, int64_t end) {
      float* offset = thread_scratch();
      float* scale = offset + g_.channels;
      for (int64_t i = begin; i < end; i++) {
        const int64_t sample = i / g_.blocks, at = first_element(i), rows = g_.rows_of_block(i % g_.blocks);
        group_norm::fill_table(g_, stats + sample * g_.groups * 2, shift ? shift + sample * g_.channels : nullptr,
                               offset, scale);
        for (int64_t c = 0; c < g_.channels; c++) scale[c] *= gamma[c];
        if (g_.silu) {
          apply<true>(x + at, y + at, rows, g_.channels, offset, scale, beta);
        } else {
          apply<false>(x + at, y + at, rows, g_.channels, offset, scale, beta);
        }
      }
    });
  }

 private:
  int64_t first_element(int64_t i) const {
    return (i / g_.blocks * g_.rows + i % g_.blocks * g_.block_rows) * g_.channels;
  }
  int64_t moments_bytes() const {
    return g_.samples * g_.blocks * g_.groups * static_cast<int64_t>(sizeof(Moments));
  }
  Moments* moments(int64_t i) const { return static_cast<Moments*>(scratch_.data()) + i * g_.groups; }
  float* thread_scratch() const {
    return reinterpret_cast<float*>(static_cast<char*>(scratch_.data()) + moments_bytes()) +
           omp_get_thread_num() * 2 * g_.channels;
  }

  void measure(const T* x, int64_t block, const T* shift, Moments* out) const {
    const int64_t rows = g_.rows_of_block(block), width = g_.group_channels();
    float* sum = thread_scratch();
    float* offset = sum + g_.channels;
    std::fill(sum, sum + g_.channels, 0.0f);
    sum_columns(x, rows, g_.channels, sum);
    for (int64_t group = 0; group < g_.groups; group++) {
      double total = 0;
      for (int64_t c = group * width; c < (group + 1) * width; c++) {
        total += sum[c] + (shift ? static_cast<double>(rows) * to_f32(shift[c]) : 0.0);
      }
      // The distances are taken from the mean as f32 knows it, so that is the mean that they belong to.
      const float mean = static_cast<float>(total / static_cast<double>(rows * width));
      out[group].mean = total / static_cast<double>(rows * width);
      for (int64_t c = group * width; c < (group + 1) * width; c++) {
        offset[c] = (shift ? to_f32(shift[c]) : 0.0f) - mean;
      }
    }
    std::fill(sum, sum + g_.channels, 0.0f);
    sum_squares(x, rows, g_.channels, offset, sum);
    for (int64_t group = 0; group < g_.groups; group++) {
      double total = 0;
      for (int64_t c = group * width; c < (group + 1) * width; c++) total += sum[c];
      out[group].squares = total;
    }
  }

  void combine(int64_t sample, float* stats) const {
    for (int64_t group = 0; group < g_.groups; group++) {
      double count = 0, mean = 0, squares = 0;
      for (int64_t block = 0; block < g_.blocks; block++) {
        const Moments& m = moments(sample * g_.blocks + block)[group];
        const double n = static_cast<double>(g_.rows_of_block(block) * g_.group_channels());
        const double distance = m.mean - mean;
        mean += distance * n / (count + n);
        squares += m.squares + distance * distance * count * n / (count + n);
        count += n;
      }
      stats[group * 2] = static_cast<float>(mean);
      stats[group * 2 + 1] = static_cast<float>(1.0 / std::sqrt(squares / std::max(1.0, count) + g_.eps));
    }
  }

  Geometry g_;
  Scratch& scratch_;
  int64_t threads_;
};

std::unique_ptr<Kernel> make_group_norm(const KernelRequest& request) {
  const Geometry g = group_norm::cut_rows(read_group_norm(request));
  return by_dtype(g.dtype, [&](auto zero) -> std::unique_ptr<Kernel> {
    return std::make_unique<GroupNorm<decltype(zero)>>(g, request.scratch);
  });
}

LORIKEET_REGISTER_CPU_KERNEL("group_norm", make_group_norm);

}  // namespace
}  // namespace lorikeet::cpu
