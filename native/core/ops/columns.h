// What the ops that move columns ask of their operands, on every device. All throw Error.
#pragma once

#include "../kernel.h"

namespace lorikeet {

void check_concat(const OpRequest& request);             // y = [a | b]
int64_t read_slice_start(const OpRequest& request);           // y = columns start .. of x
int64_t read_slice_backward_start(const OpRequest& request);  // dx = dy at columns start .., zero elsewhere

}  // namespace lorikeet
