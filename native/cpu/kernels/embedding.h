// The check of token ids that embedding and its backward share.
#pragma once

#include "../../core/error.h"

namespace lorikeet::cpu {

// Throws Error naming the first of the ids[N, L] outside 0 .. vocabulary - 1. Ids come from outside, so run() checks
// them before any work.
inline void expect_ids(const char* op, const int32_t* ids, int64_t n, int64_t length, int64_t vocabulary) {
  for (int64_t i = 0; i < n * length; i++) {
    require(ids[i] >= 0 && ids[i] < vocabulary, op, ": id ", ids[i], " at [", i / length, ", ", i % length,
            "] lies outside 0 .. ", vocabulary - 1);
  }
}

}  // namespace lorikeet::cpu
