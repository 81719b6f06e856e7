#include "cards.h"

#include <cmath>

namespace lorikeet::sim {

// GeForce: multiprocessors * 512 operations a clock * boost clock. NVIDIA's own figures for these cards assume sparse
// matrices and f16 accumulation. H100: mma.sync reaches about 63% of the 989 TFLOPS that wgmma has.
const std::vector<Card>& cards() {
  static const std::vector<Card> table = {
      {"RTX 3060 12GB", 25.5, 360, 28, 1.78, 12, 8, 6},  //
      {"RTX 3090", 71.2, 936, 82, 1.70, 24, 8, 6},       //
      {"RTX 4070", 58.3, 504, 46, 2.48, 12, 8, 9},       //
      {"RTX 4090", 165.2, 1008, 128, 2.52, 24, 8, 9},    //
      {"RTX 5070", 61.7, 672, 48, 2.51, 12, 12, 0},      //
      {"RTX 5090", 209.5, 1792, 170, 2.41, 32, 12, 0},   //
      {"H100 SXM", 620, 3350, 132, 1.83, 80, 9, 0},      //
  };
  return table;
}

Roofline roofline(const Counters& counters, const Card& card) {
  Roofline result;
  const double blocks = static_cast<double>(counters.blocks) / std::max<double>(1, counters.launches);
  const double waves = std::ceil(blocks / card.multiprocessors);
  if (waves > 0) result.fill = blocks / (waves * card.multiprocessors);
  result.tensor_us = static_cast<double>(counters.tensor_flops) / (card.tensor_tflops * 1e6) / result.fill;
  result.shared_us =
      static_cast<double>(counters.shared.wavefronts) / (card.multiprocessors * card.ghz * 1e3) / result.fill;
  result.dram_us =
      static_cast<double>(counters.dram_read_bytes + counters.dram_written_bytes) / (card.dram_gbps * 1e3);
  result.microseconds = result.tensor_us;
  result.bound = "tensor";
  if (result.dram_us > result.microseconds) result.microseconds = result.dram_us, result.bound = "dram";
  if (result.shared_us > result.microseconds) result.microseconds = result.shared_us, result.bound = "shared";
  return result;
}

}  // namespace lorikeet::sim
