// The diagonal Gaussian that an autoencoder's encoder returns: moments[N, H, W, 2C] = [mean | log variance], the log
// variance clamped as in the original implementation (CompVis latent-diffusion, DiagonalGaussianDistribution).
#pragma once

#include "../anywhere.h"
#include "../checks.h"

namespace lorikeet {

LORIKEET_ANYWHERE float clamp_logvar(float x) {
  x = x < -30.0f ? -30.0f : x;
  return x > 20.0f ? 20.0f : x;
}

// The clamp's derivative: 1 inside and on the limits, 0 outside; NaN counts as inside.
LORIKEET_ANYWHERE float clamp_slope(float x) { return x < -30.0f || x > 20.0f ? 0.0f : 1.0f; }

// Throws Error unless moments has 2C columns of a compute dtype; returns C.
inline int64_t gaussian_channels(const OpRequest& request, const TensorSpec& moments) {
  expect_compute_dtype(request, "moments", moments);
  require(moments.shape.size() > 1 && columns_of(moments) % 2 == 0, request.instruction.op, ": moments ",
          to_string(moments.shape), " must be [N, .., 2C]");
  require(elements_of(moments.shape) > 0, request.instruction.op, ": moments ", to_string(moments.shape), " is empty");
  return columns_of(moments) / 2;
}

}  // namespace lorikeet
