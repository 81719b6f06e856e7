// What adamw reads from its instruction, on every device.
#pragma once

#include "../kernel.h"

namespace lorikeet {

// Inputs: params, grads, m, v, norm, scalars; outputs: params, m, v in place, and shadow?
struct AdamwStep {
  // Consecutive parameters of one learning rate and weight decay.
  struct Piece {
    int64_t start, count, group;
    double weight_decay;
  };
  std::vector<Piece> pieces;
  double beta1 = 0, beta2 = 0, eps = 0, max_norm = 0;
};

// The ranges of the instruction are cut into pieces of at most that many elements.
AdamwStep read_adamw(const OpRequest& request, int64_t longest_piece);

}  // namespace lorikeet
