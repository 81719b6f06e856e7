// What the elementwise ops ask of their operands, on every device. All throw Error.
#pragma once

#include "../kernel.h"

namespace lorikeet {

void check_add(const OpRequest& request);   // y = a + b
void check_cast(const OpRequest& request);  // y = x in y's dtype
void check_ema(const OpRequest& request);   // average in place
void check_mix(const OpRequest& request);   // y = ca[n] * a + cb[n] * b

}  // namespace lorikeet
