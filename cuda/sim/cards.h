// Cards that people own, and the time that a kernel's counters would take on them at the least.
#pragma once

#include <string>
#include <vector>

#include "counters.h"

namespace lorikeet::sim {

struct Card {
  const char* name;
  double tensor_tflops;  // dense bf16 with f32 accumulation through mma.sync, at the boost clock
  double dram_gbps;      // 1e9 bytes a second
  int multiprocessors;
  double ghz;            // boost
  double memory_gib;
  int major, minor;      // compute capability
};

const std::vector<Card>& cards();

// A lower bound: each unit busy all the time, everything overlapped, only sectors touched for the first time read from
// DRAM. Multiprocessors work on whole blocks, so a last wave that does not fill them costs as much as a full one.
struct Roofline {
  double tensor_us = 0, dram_us = 0, shared_us = 0;  // shared: 128 bytes a clock and multiprocessor
  double fill = 1;                                   // share of the multiprocessors that have a block, over all waves
  double microseconds = 0;                           // the largest
  const char* bound = "";                            // by which unit: "tensor", "dram" or "shared"
};

Roofline roofline(const Counters& counters, const Card& card);

}  // namespace lorikeet::sim
