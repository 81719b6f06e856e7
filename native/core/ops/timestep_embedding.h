// What timestep_embedding reads from its instruction, on every device.
#pragma once

#include "../kernel.h"

namespace lorikeet {

// y [batch, 2 half] = [sin | cos] or [cos | sin] of t [batch] times each frequency.
struct TimestepEmbedding {
  int64_t batch = 0, half = 0;
  bool cos_first = false;
  std::vector<float> frequencies;  // [half], rounded where PyTorch rounds
};
TimestepEmbedding read_timestep_embedding(const OpRequest& request);

}  // namespace lorikeet
