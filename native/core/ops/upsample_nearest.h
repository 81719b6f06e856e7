// What nearest-neighbour upsampling and its gradient ask of their operands, on every device. Both throw Error.
#pragma once

#include "../kernel.h"

namespace lorikeet {

void check_upsample_nearest(const OpRequest& request);           // x [N, H, W, C] -> y [N, Ho, Wo, C]
void check_upsample_nearest_backward(const OpRequest& request);  // dy [N, Ho, Wo, C] -> dx [N, H, W, C]

}  // namespace lorikeet
