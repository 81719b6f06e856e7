#include "adamw_8bit.h"

#include "../launch.cuh"
#include "adamw.cuh"

namespace LORIKEET_CUDA {
namespace {

// A warp has a block of codes to itself, so it needs no barrier: each lane has two words of codes, 128 elements apart.
constexpr int kBlock = 256, kWords = 2, kPerWord = 4;

struct Operands {
  Global<const AdamwPiece> piece;
  Global<const float> table;
  Global<float> params;
  Global<const float> grads;
  Global<uint32_t> m, v;
  Global<float> m_scale, v_scale;
  Global<const float> norm, scalars;
  Global<bf16> shadow;
};

struct Tables {
  Shared<float> m_values, m_midpoints, v_values, v_midpoints;
};

__device__ __forceinline__ float warp_max(float value) {
  LORIKEET_UNROLL for (int distance = 16; distance > 0; distance /= 2) value = fmaxf(value, shuffle_xor(value, distance));
  return value;
}

__device__ __forceinline__ int code_of(uint32_t word, int e) { return static_cast<int>(word >> (8 * e) & 255u); }

// nearest_code of native/core/ops/adamw_8bit.h.
__device__ __forceinline__ uint32_t nearest_code(Shared<float> midpoints, float x) {
  int node = 1;
  LORIKEET_UNROLL for (int level = 0; level < 8; level++) node = 2 * node + (load(midpoints, node) < x ? 1 : 0);
  return static_cast<uint32_t>(node - 256);
}

// The word with the codes of the first `count` of four values, a quotient each.
__device__ __forceinline__ uint32_t with_codes(uint32_t word, const float* values, float divisor,
                                               Shared<float> midpoints, int count) {
  LORIKEET_UNROLL for (int e = 0; e < kPerWord; e++) {
    if (e >= count) continue;
    word = (word & ~(255u << (8 * e))) | nearest_code(midpoints, values[e] / divisor) << (8 * e);
  }
  return word;
}

// Four elements of which `count` are there: in one access each of parameters, gradients and shadow, if they may be.
template <bool kWide>
struct Four {
  float g[kPerWord], p[kPerWord];

  __device__ __forceinline__ Four(const Operands& o, int64_t at, int count) {
    if (kWide && count >= kPerWord) {
      const Vector<float, kPerWord> grads = load_vector<kPerWord>(o.grads, at);
      const Vector<float, kPerWord> params = load_vector<kPerWord>(o.params, at);
      LORIKEET_UNROLL for (int e = 0; e < kPerWord; e++) g[e] = grads[e], p[e] = params[e];
    } else {
      LORIKEET_UNROLL for (int e = 0; e < kPerWord; e++) {
        g[e] = e < count ? load(o.grads, at + e) : 0.0f;
        p[e] = e < count ? load(o.params, at + e) : 0.0f;
      }
    }
  }

  __device__ __forceinline__ void write(const Operands& o, int64_t at, int count) const {
    if (kWide && count >= kPerWord) {
      Vector<float, kPerWord> params;
      Vector<bf16, kPerWord> rounded;
      LORIKEET_UNROLL for (int e = 0; e < kPerWord; e++) params[e] = p[e], rounded[e] = from_float<bf16>(p[e]);
      store_vector(o.params, at, params);
      if (o.shadow) store_vector(o.shadow, at, rounded);
    } else {
      LORIKEET_UNROLL for (int e = 0; e < kPerWord; e++) {
        if (e >= count) continue;
        store(o.params, at + e, p[e]);
        if (o.shadow) store(o.shadow, at + e, from_float<bf16>(p[e]));
      }
    }
  }
};

// The block `row` of the state and the `n` parameters from `start` on.
template <bool kWide>
__device__ __forceinline__ void update_block(const Operands& o, const AdamwSettings& settings,
                                             const AdamwFactors& factors, const Tables& tables, int64_t start,
                                             int64_t row, int n) {
  const int lane = static_cast<int>(threadIdx.x % 32);
  const float m_scale = load(o.m_scale, row), v_scale = load(o.v_scale, row);
  float mean[kWords][kPerWord], square[kWords][kPerWord];
  uint32_t m_word[kWords], v_word[kWords];
  float m_largest = 0.0f, v_largest = 0.0f;
  LORIKEET_UNROLL for (int w = 0; w < kWords; w++) {
    const int first = (w * 32 + lane) * kPerWord, count = n - first;
    if (count <= 0) continue;
    m_word[w] = load(o.m, row * (kBlock / kPerWord) + w * 32 + lane);
    v_word[w] = load(o.v, row * (kBlock / kPerWord) + w * 32 + lane);
    Four<kWide> four(o, start + first, count);
    LORIKEET_UNROLL for (int e = 0; e < kPerWord; e++) {
      const AdamwElement old = {load(tables.m_values, code_of(m_word[w], e)) * m_scale,
                                load(tables.v_values, code_of(v_word[w], e)) * v_scale, four.p[e]};
      const AdamwElement next = adamw_update(settings, factors, old, four.g[e]);
      mean[w][e] = next.mean;
      square[w][e] = next.square;
      four.p[e] = next.parameter;
      if (e >= count) continue;
      m_largest = fmaxf(m_largest, fabsf(next.mean));
      v_largest = fmaxf(v_largest, next.square);
    }
    four.write(o, start + first, count);
  }
  m_largest = warp_max(m_largest);
  v_largest = warp_max(v_largest);
  const float m_divisor = m_largest > 0.0f ? m_largest : 1.0f, v_divisor = v_largest > 0.0f ? v_largest : 1.0f;
  LORIKEET_UNROLL for (int w = 0; w < kWords; w++) {
    const int count = n - (w * 32 + lane) * kPerWord;
    if (count <= 0) continue;
    const int64_t at = row * (kBlock / kPerWord) + w * 32 + lane;
    store(o.m, at, with_codes(m_word[w], mean[w], m_divisor, tables.m_midpoints, count));
    store(o.v, at, with_codes(v_word[w], square[w], v_divisor, tables.v_midpoints, count));
  }
  sync_warp();  // the other lanes have read the scales before
  if (lane == 0) {
    store(o.m_scale, row, m_largest);
    store(o.v_scale, row, v_largest);
  }
}

template <bool kWide>
__global__ void __launch_bounds__(kAdamwThreads) adamw_8bit_kernel(Operands o, AdamwSettings settings) {
  const float norm = load(o.norm, 0);
  if (!is_finite(norm)) return;
  LORIKEET_SHARED_ARRAY(float, m_values, 256);
  LORIKEET_SHARED_ARRAY(float, m_midpoints, 256);
  LORIKEET_SHARED_ARRAY(float, v_values, 256);
  LORIKEET_SHARED_ARRAY(float, v_midpoints, 256);
  const Tables tables = {m_values, m_midpoints, v_values, v_midpoints};
  const int thread = static_cast<int>(threadIdx.x);
  store(m_values, thread, load(o.table, thread));
  store(m_midpoints, thread, load(o.table, 256 + thread));
  store(v_values, thread, load(o.table, 512 + thread));
  store(v_midpoints, thread, load(o.table, 768 + thread));
  const AdamwPiece piece = load(o.piece, blockIdx.x);
  const AdamwFactors factors = adamw_factors(settings, piece, o.scalars, norm);  // the tables are complete behind it
  for (int block = thread / 32; block * kBlock < piece.count; block += kAdamwThreads / 32) {
    const int left = piece.count - block * kBlock;
    update_block<kWide>(o, settings, factors, tables, piece.start + block * kBlock, piece.state + block,
                        left < kBlock ? left : kBlock);
  }
}

}  // namespace

void launch_adamw_8bit(const Adamw8Bit& p, Stream stream) {
  static_assert(kAdamwThreads == 256, "each thread brings one value of each table");
  if (p.pieces == 0) return;
  LaunchShape shape;
  shape.grid = dim3(p.pieces);
  shape.block = dim3(kAdamwThreads);
  const Operands operands{p.piece,   p.table->m_values, p.params, p.grads,   p.m,     p.v,
                          p.m_scale, p.v_scale,         p.norm,   p.scalars, p.shadow};
  launch("adamw_8bit", p.wide ? &adamw_8bit_kernel<true> : &adamw_8bit_kernel<false>, shape, stream, operands,
         round_settings(p.beta1, p.beta2, p.eps, p.max_norm));
}

}  // namespace LORIKEET_CUDA
