// Philox 4x32-10 (Salmon, Moraes, Dror, Shaw: "Parallel random numbers: as easy as 1, 2, 3", SC 2011): a block of four
// 32-bit words is a pure function of key and counter, so any element of any stream can be drawn on its own, in any
// order. lib/base/philox.ts is the same generator; both are tested against the known answers of the authors' Random123.
#pragma once

#include <array>
#include <cmath>
#include <cstdint>

namespace lorikeet {

using PhiloxBlock = std::array<uint32_t, 4>;

inline PhiloxBlock philox(PhiloxBlock counter, uint32_t key0, uint32_t key1) {
  for (int round = 0; round < 10; round++) {
    const uint64_t product0 = uint64_t{0xD2511F53u} * counter[0];
    const uint64_t product1 = uint64_t{0xCD9E8D57u} * counter[2];
    counter = {static_cast<uint32_t>(product1 >> 32) ^ counter[1] ^ key0, static_cast<uint32_t>(product1),
               static_cast<uint32_t>(product0 >> 32) ^ counter[3] ^ key1, static_cast<uint32_t>(product0)};
    key0 += 0x9E3779B9u;
    key1 += 0xBB67AE85u;
  }
  return counter;
}

// Block `index` of a stream: key = the seed's two halves, counter = (index low, step, stream, index high).
inline PhiloxBlock philox_block(uint64_t seed, uint32_t stream, uint32_t step, uint64_t index) {
  return philox({static_cast<uint32_t>(index), step, stream, static_cast<uint32_t>(index >> 32)},
                static_cast<uint32_t>(seed), static_cast<uint32_t>(seed >> 32));
}

// Uniform in [0, 1): a multiple of 2^-24.
inline double uniform_of(uint32_t word) { return static_cast<double>(word >> 8) * 0x1p-24; }

// Four standard normal numbers by Box and Muller (1958): words (0, 1) give the first two (cosine, sine), words (2, 3)
// the others.
inline void normals_of(const PhiloxBlock& block, float* normals) {
  for (int pair = 0; pair < 2; pair++) {
    const double radius = std::sqrt(-2.0 * std::log((block[2 * pair] + 0.5) * 0x1p-32));
    const double angle = block[2 * pair + 1] * (6.283185307179586 * 0x1p-32);
    normals[2 * pair] = static_cast<float>(radius * std::cos(angle));
    normals[2 * pair + 1] = static_cast<float>(radius * std::sin(angle));
  }
}

}  // namespace lorikeet
