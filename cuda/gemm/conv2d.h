// Convolutions (cross-correlations) over channels-last images with adapters, and their gradients by the image: one
// product, with x read through a moving window.
#pragma once

#include "../runtime.h"
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
template <typename T>
struct Conv2d {
  Convolution shape;
  const T* x = nullptr;         // [samples, height, width, channels]
  const T* w = nullptr;         // [outputs, kernel_height, kernel_width, channels]
  const float* bias = nullptr;  // [outputs]
  T* y = nullptr;               // [samples, out_height, out_width, outputs]
  std::vector<LowRankUp<T>> ups;  // over rows of y and all or some outputs, k contiguous
};

// One adapter's contribution to the gradient by the image.
template <typename T>
struct LowRankDown {
  const T* dh;    // [samples, out_height, out_width, rank]: dy up
  const T* down;  // [rank, kernel_height, kernel_width, channels]
  int rank;
  float scale;
};

// dx = the transpose of conv(., w) at dy + sum over adapters of scale * the transpose of conv(., down) at dh.
template <typename T>
struct Conv2dGradInput {
  Convolution shape;
  const T* dy = nullptr;  // [samples, out_height, out_width, outputs]
  const T* w = nullptr;   // as in the convolution
  T* dx = nullptr;        // [samples, height, width, channels]
  std::vector<LowRankDown<T>> downs;
};

// Any shapes. Where channels, outputs and ranks (of downs: of dh, which may be filled up with zeros) fill whole pieces
// of 16 bytes, operands arrive asynchronously, otherwise slowly, element by element. The gradient of a convolution with
// a stride s is s * s products, one for each residue of rows and columns of the image, which share no weights.
template <typename T>
void launch_conv2d(const Conv2d<T>& problem, TileChoice tile, Stream stream);
template <typename T>
void launch_conv2d_grad_input(const Conv2dGradInput<T>& problem, TileChoice tile, Stream stream);

}  // namespace LORIKEET_CUDA
