// What adamw reads from its instruction, on every device, and what it shares with adamw_8bit.
#pragma once

#include "../kernel.h"

namespace lorikeet {

// Consecutive parameters of one learning rate and weight decay.
struct AdamwRange {
  int64_t start, count, group;
  double weight_decay;
};

struct AdamwOptions {
  double beta1 = 0, beta2 = 0, eps = 0, max_norm = 0;
};

AdamwOptions read_adamw_options(const OpRequest& request);

// The ranges of an instruction whose params have that shape, and whose scalars are the operand `scalars`.
std::vector<AdamwRange> read_adamw_ranges(const OpRequest& request, const TensorSpec& params,
                                          const TensorSpec& scalars);

// params, grads, norm and scalars are inputs at these places, and the last output is the shadow, if it is there.
void expect_adamw_operands(const OpRequest& request, size_t norm, size_t scalars, size_t shadow);

// Inputs: params, grads, m, v, norm, scalars; outputs: params, m, v in place, and shadow?
struct AdamwStep {
  struct Piece {
    int64_t start, state, count;  // `state`: where it begins in m and v
    int64_t group;
    double weight_decay;
  };
  std::vector<Piece> pieces;
  AdamwOptions options;
};

// The ranges of the instruction are cut into pieces of at most that many elements.
AdamwStep read_adamw(const OpRequest& request, int64_t longest_piece);

}  // namespace lorikeet
