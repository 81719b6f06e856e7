// What sum_rows reads from its instruction, on every device.
#pragma once

#include "../kernel.h"

namespace lorikeet {

// y [groups, columns]: the sum of each of `groups` times `rows` rows of x; or, with `add`, y [columns] += the one sum.
struct SumRowsOp {
  int64_t groups = 1, rows = 0, columns = 0;
  bool add = false;
};
SumRowsOp read_sum_rows(const OpRequest& request);

}  // namespace lorikeet
