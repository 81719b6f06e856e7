// adamw_8bit: adamw with both moments in 8 bits, block by block (Dettmers et al., arXiv 2110.02861). The moments are
// widened to f32, updated, and rounded to the nearest codes of their block's new scale; the parameters are changed by
// the moments before that rounding. When the norm is not finite nothing changes.
#include "../../core/ops/adamw_8bit.h"

#include <cstdlib>
#include <limits>

#include "../../core/numbers.h"
#include "adamw.h"

// Every device computes the same bits, so that a state does not depend on where it was made: no a * b + c in one.
#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC optimize("fp-contract=off")
#elif defined(__clang__)
#pragma STDC FP_CONTRACT OFF
#endif

namespace lorikeet::cpu {
namespace {

constexpr int64_t kLongestPiece = 64;  // blocks; as many elements as in kElementGrain

// What nearest_code finds for numbers, in two look-ups. All floats with the same upper 16 bits have one code, or the
// one above it, since no two midpoints have these bits in common: what is left of the search is one comparison.
class Rounding {
 public:
  explicit Rounding(const QuantisationMap& map) : lowest_(size_t{1} << 16) {
    for (size_t code = 0; code < 255; code++) above_[code] = (map.values[code] + map.values[code + 1]) * 0.5f;
    above_[255] = std::numeric_limits<float>::infinity();
    for (uint32_t upper = 0; upper < lowest_.size(); upper++) {
      const float towards_zero = f32_from_bits(upper << 16);
      const float away = std::isinf(towards_zero) ? towards_zero : f32_from_bits(upper << 16 | 0xffffu);
      const int codes[] = {nearest_code(map.midpoints.data(), towards_zero), nearest_code(map.midpoints.data(), away)};
      lowest_[upper] = static_cast<uint8_t>(std::min(codes[0], codes[1]));
      require(std::abs(codes[0] - codes[1]) <= 1, "two midpoints have their upper bits ", upper, " in common");
    }
  }

  const uint8_t* lowest() const { return lowest_.data(); }  // code, by the upper bits
  const float* above() const { return above_; }             // midpoint between a code and the next

 private:
  std::vector<uint8_t> lowest_;
  float above_[256];
};

struct Maps {
  QuantisationMap m = quantisation_map(true), v = quantisation_map(false);
  Rounding round_m = Rounding(m), round_v = Rounding(v);
};

const Maps& maps_of_all() {
  static const Maps maps;
  return maps;
}

// The moments and parameters of `n` elements, n at most kQuantisationBlock. `m` and `v` receive the moments in f32.
template <bool kShadow>
LORIKEET_CLONES void update(const AdamwFactors& factors, const Maps& maps, const uint8_t* m_codes,
                            const uint8_t* v_codes, float m_scale, float v_scale, const float* g, float* p, float* m,
                            float* v, bf16* shadow, int64_t n) {
  const AdamwFactors s = factors;
  const float* m_values = maps.m.values.data();
  const float* v_values = maps.v.values.data();
#pragma omp simd
  for (int64_t i = 0; i < n; i++) {
    const float old_mean = m_values[m_codes[i]] * m_scale, old_square = v_values[v_codes[i]] * v_scale;
    const float gradient = g[i] * s.clip;
    const float mean = (s.near ? old_mean : gradient) + s.rate * (gradient - old_mean);
    const float square = old_square * s.beta2 + s.square_rate * gradient * gradient;
    const float denominator = std::sqrt(square) / s.denominator_scale + s.eps;
    const float parameter = p[i] * s.decay - s.step_size * mean / denominator;
    m[i] = mean;
    v[i] = square;
    p[i] = parameter;
    if (kShadow) shadow[i] = to_bf16(parameter);
  }
}

// Rounds to codes; returns the scale, which is the largest magnitude.
LORIKEET_CLONES float round_to_codes(const Rounding& rounding, const float* x, uint8_t* codes, int64_t n) {
  float scale = 0.0f;
#pragma omp simd reduction(max : scale)
  for (int64_t i = 0; i < n; i++) scale = std::max(scale, std::fabs(x[i]));
  const float divisor = scale > 0.0f ? scale : 1.0f;
  const uint8_t* lowest = rounding.lowest();
  const float* above = rounding.above();
  for (int64_t i = 0; i < n; i++) {
    const float quotient = x[i] / divisor;
    const uint8_t code = lowest[bits_of(quotient) >> 16];
    codes[i] = static_cast<uint8_t>(code + (above[code] < quotient ? 1 : 0));
  }
  return scale;
}

struct Arrays {
  const float* g;
  float* p;
  uint8_t *m, *v;
  float *m_scale, *v_scale;
  bf16* shadow;  // or null
};

void update_piece(const Adamw8BitStep::Piece& piece, const AdamwFactors& factors, const Maps& maps, const Arrays& a) {
  alignas(64) float m[kQuantisationBlock], v[kQuantisationBlock];
  for (int64_t done = 0, block = piece.first_block; done < piece.count; done += kQuantisationBlock, block++) {
    const int64_t at = piece.start + done, n = std::min(kQuantisationBlock, piece.count - done);
    uint8_t* m_codes = a.m + block * kQuantisationBlock;
    uint8_t* v_codes = a.v + block * kQuantisationBlock;
    if (a.shadow) {
      update<true>(factors, maps, m_codes, v_codes, a.m_scale[block], a.v_scale[block], a.g + at, a.p + at, m, v,
                   a.shadow + at, n);
    } else {
      update<false>(factors, maps, m_codes, v_codes, a.m_scale[block], a.v_scale[block], a.g + at, a.p + at, m, v,
                    nullptr, n);
    }
    a.m_scale[block] = round_to_codes(maps.round_m, m, m_codes, n);
    a.v_scale[block] = round_to_codes(maps.round_v, v, v_codes, n);
  }
}

std::unique_ptr<Kernel> make_adamw_8bit(const KernelRequest& request) {
  const Maps& maps = maps_of_all();
  return kernel_from([step = read_adamw_8bit(request, kLongestPiece), &maps,
                      has_shadow = request.has_output(5)](const Operands& operands) {
    const float norm = *operands.inputs[6].as<const float>();
    if (!std::isfinite(norm)) return;
    const float* scalars = operands.inputs[7].as<const float>();
    const Arrays arrays = {operands.inputs[1].as<const float>(),
                           operands.outputs[0].as<float>(),
                           operands.outputs[1].as<uint8_t>(),
                           operands.outputs[2].as<uint8_t>(),
                           operands.outputs[3].as<float>(),
                           operands.outputs[4].as<float>(),
                           has_shadow ? operands.outputs[5].as<bf16>() : nullptr};
    parallel_for(static_cast<int64_t>(step.pieces.size()), 1, [&](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; i++) {
        const Adamw8BitStep::Piece& piece = step.pieces[i];
        update_piece(piece, adamw_factors(step.options, piece.group, piece.weight_decay, scalars, norm), maps, arrays);
      }
    });
  });
}

LORIKEET_REGISTER_CPU_KERNEL("adamw_8bit", make_adamw_8bit);

}  // namespace
}  // namespace lorikeet::cpu
