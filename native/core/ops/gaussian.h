// The diagonal Gaussian that an autoencoder's encoder returns: moments[N, H, W, 2C] = [mean | log variance], the log
// variance clamped as in the original implementation (CompVis latent-diffusion, DiagonalGaussianDistribution).
#pragma once

#include "../anywhere.h"
#include "../kernel.h"

namespace lorikeet {

LORIKEET_ANYWHERE float clamp_logvar(float x) {
  x = x < -30.0f ? -30.0f : x;
  return x > 20.0f ? 20.0f : x;
}

// The clamp's derivative: 1 inside and on the limits, 0 outside; NaN counts as inside.
LORIKEET_ANYWHERE float clamp_slope(float x) { return x < -30.0f || x > 20.0f ? 0.0f : 1.0f; }

// What the ops on it ask of their operands, on every device. All throw Error and return C.
int64_t read_sample_gaussian(const OpRequest& request);
int64_t read_sample_gaussian_backward(const OpRequest& request);
int64_t read_gaussian_kl(const OpRequest& request);
int64_t read_gaussian_kl_backward(const OpRequest& request);

}  // namespace lorikeet
