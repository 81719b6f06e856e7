// Convolutions (cross-correlations) over channels-last images with adapters, and their gradients by the image: one
// product, with x read through a moving window.
#pragma once

#include "../launch.cuh"
#include "low_rank.h"

namespace LORIKEET_CUDA {

struct Convolution {
  int samples = 0;
  int height = 0, width = 0, channels = 0;         // of the image
  int out_height = 0, out_width = 0, outputs = 0;  // of the result
  int kernel_height = 1, kernel_width = 1, stride = 1;
  int top = 0, left = 0;  // rows and columns of zeros before the image; those after it follow from the sizes
};

// y = conv(x, w) (+ bias) + sum over adapters of scale * h up. h = conv(x, down) is the same without adapters.
struct Conv2d {
  Convolution shape;
  const bf16* x = nullptr;      // [samples, height, width, channels]
  const bf16* w = nullptr;      // [outputs, kernel_height, kernel_width, channels]
  const float* bias = nullptr;  // [outputs]
  bf16* y = nullptr;            // [samples, out_height, out_width, outputs]
  std::vector<LowRankUp> ups;   // over rows of y and all or some outputs, k contiguous
};

// One adapter's contribution to the gradient by the image.
struct LowRankDown {
  const bf16* dh;    // [samples, out_height, out_width, rank]: dy up
  const bf16* down;  // [rank, kernel_height, kernel_width, channels]
  int rank;
  float scale;
};

// dx = the transpose of conv(., w) at dy + sum over adapters of scale * the transpose of conv(., down) at dh.
struct Conv2dGradInput {
  Convolution shape;
  const bf16* dy = nullptr;  // [samples, out_height, out_width, outputs]
  const bf16* w = nullptr;   // as in the convolution
  bf16* dx = nullptr;        // [samples, height, width, channels]
  std::vector<LowRankDown> downs;
};

// Any shapes. Where channels, outputs and ranks (of downs: of dh, which may be filled up with zeros) are multiples of 8
// the asynchronous path is taken, otherwise 64 x 64 tiles whatever the choice. The gradient of a convolution with a
// stride s is s * s products, one for each residue of rows and columns of the image, which share no weights.
void launch_conv2d(const Conv2d& problem, TileChoice tile, Stream stream);
void launch_conv2d_grad_input(const Conv2dGradInput& problem, TileChoice tile, Stream stream);

}  // namespace LORIKEET_CUDA
