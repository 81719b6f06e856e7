// What the three convolution ops read from their instruction.
#pragma once

#include "kernel.h"
#include "convolution.h"

namespace lorikeet::cpu {

// Geometry from the shapes of the image [N, H, W, C] and the weight [O, kh, kw, C] and the attributes stride and
// padding; checks that `output` is [N, Ho, Wo, O].
ConvGeometry read_geometry(const KernelRequest& request, const TensorSpec& image, const Shape& weight,
                           const TensorSpec& output);

// The same geometry for the adapter's down, which has other output channels.
ConvGeometry with_outputs(ConvGeometry geometry, int64_t outputs);

}  // namespace lorikeet::cpu
