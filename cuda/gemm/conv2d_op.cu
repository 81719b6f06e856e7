// The ops conv2d, conv2d_input_grad and conv2d_weight_grad. A 1x1 convolution without stride is a linear layer.
#include "../../native/core/ops/conv2d.h"

#include "conv2d.h"
#include "linear_op.h"
#include "matmul.h"
#include "weight_grad.h"

namespace LORIKEET_CUDA {
namespace {

Convolution shape_of(const CudaRequest& request, const ConvGeometry& g, int64_t outputs) {
  const auto number = [&](int64_t value) { return extent(request, value); };
  // Numbers of pixels, and of what the window shows at once, are counted as well.
  number(g.out_pixels()), number(g.n * g.h * g.w), number(g.kh * g.kw * std::max(g.c, outputs));
  return {number(g.n),  number(g.h),  number(g.w),  number(g.c),      number(g.ho()),  number(g.wo()),
          number(outputs), number(g.kh), number(g.kw), number(g.stride), number(g.top), number(g.left)};
}

// "conv2d bf16 1x64x64x320 to 64x64x320 3x3"
std::string convolution_words(const char* kernel, DType dtype, const Convolution& s) {
  const auto by = [](std::initializer_list<int> extents) {
    std::string words;
    for (const int extent : extents) words += (words.empty() ? "" : "x") + std::to_string(extent);
    return words;
  };
  return std::string(kernel) + " " + name_of(dtype) + " " + by({s.samples, s.height, s.width, s.channels}) + " to " +
         by({s.out_height, s.out_width, s.outputs}) + " " + by({s.kernel_height, s.kernel_width});
}

Launch conv2d(const CudaRequest& request, const Conv2dOp& op) {
  const ConvGeometry& g = op.geometry;
  expect_room_for_adapters(request, op.low_rank.ups.size());
  const Convolution shape = shape_of(request, g, g.o);
  const std::string words = convolution_words("conv2d", op.dtype, shape) + words_of_ups(op.low_rank, g.o);
  const TunedTile tile(request, words, op.dtype, g.out_pixels(), g.o);
  std::vector<Convolution> downs;
  std::vector<TunedTile> rank_tiles;
  for (const int64_t rank : op.low_rank.ranks) {
    downs.push_back(shape_of(request, g, rank));
    rank_tiles.emplace_back(request, convolution_words("conv2d", op.dtype, downs.back()), op.dtype, g.out_pixels(), rank);
  }
  return by_dtype(op.dtype, [&](auto zero) -> Launch {
    using T = decltype(zero);
    return [=, low_rank = op.low_rank](const Operands& operands, const LaunchContext& context) {
      const auto input = [&](size_t i) { return data<const T>(operands.inputs[i]); };
      const auto h = [&](size_t adapter) { return data<T>(operands.outputs[1 + adapter]); };
      const T* x = input(0);
      for (size_t a = 0; a < low_rank.adapters(); a++) {
        const Conv2d<T> to_h{downs[a], x, input(low_rank.downs[a]), nullptr, h(a), {}};
        rank_tiles[a].launch(context, [&](TileChoice chosen) { launch_conv2d(to_h, chosen, context.stream); });
      }
      const float* bias = operands.inputs.size() > 2 ? data<const float>(operands.inputs[2]) : nullptr;
      Conv2d<T> product{shape, x, input(1), bias, data<T>(operands.outputs[0]), {}};
      product.ups = ups_of<T>(low_rank, operands);
      tile.launch(context, [&](TileChoice chosen) { launch_conv2d(product, chosen, context.stream); });
    };
  });
}

Launch conv2d_input_grad(const CudaRequest& request, const Conv2dInputGradOp& op) {
  const ConvGeometry& g = op.geometry;
  expect_room_for_adapters(request, op.ranks.size());
  const Convolution shape = shape_of(request, g, g.o);
  // Each residue of the stride is a product of its own.
  const int64_t rows = g.n * ((g.h + g.stride - 1) / g.stride) * ((g.w + g.stride - 1) / g.stride);
  std::string words = convolution_words("conv2d_grad_input", op.dtype, shape);
  for (const int64_t rank : op.ranks) words += segment_words(rank, g.c, g.c);
  const TunedTile tile(request, words, op.dtype, rows, g.c);
  return by_dtype(op.dtype, [&](auto zero) -> Launch {
    using T = decltype(zero);
    return [=](const Operands& operands, const LaunchContext& context) {
      const auto input = [&](size_t i) { return data<const T>(operands.inputs[i]); };
      Conv2dGradInput<T> product{shape, input(0), input(1), data<T>(operands.outputs[0]), {}};
      for (size_t a = 0; a < op.ranks.size(); a++) {
        product.downs.push_back({input(op.dh(a)), input(op.down(a)), static_cast<int>(op.ranks[a]), 1.0f});
      }
      tile.launch(context, [&](TileChoice chosen) { launch_conv2d_grad_input(product, chosen, context.stream); });
    };
  });
}

Launch conv2d_weight_grad(const CudaRequest& request, const Conv2dWeightGradOp& op) {
  const ConvGeometry& g = op.geometry;
  const Convolution shape = shape_of(request, g, g.o);
  const int rows = extent(request, g.out_pixels()), n = shape.outputs, k = extent(request, g.kh * g.kw * g.c);
  return by_dtype(op.dtype, [&](auto zero) -> Launch {
    using T = decltype(zero);
    const TileChoice tile = choose_weight_grad_tile(n, k);
    const int parts = choose_parts<T>(rows, n, k, tile);
    if (parts > 1) request.reserve_scratch(static_cast<int64_t>(parts) * n * k * 4);
    return [=, scale = op.scale](const Operands& operands, const LaunchContext& context) {
      launch_conv2d_weight_grad(
          Conv2dWeightGrad<T>{shape, data<const T>(operands.inputs[0]), data<const T>(operands.inputs[1]), scale,
                              data<float>(operands.outputs[0]), parts, static_cast<float*>(context.scratch)},
          tile, context.stream);
    };
  });
}

Launch make_conv2d(const CudaRequest& request) {
  const Conv2dOp op = read_conv2d(request);
  const ConvGeometry& g = op.geometry;
  if (g.pointwise()) return linear(request, {g.out_pixels(), g.o, g.c, op.dtype, op.low_rank});
  return conv2d(request, op);
}

Launch make_conv2d_input_grad(const CudaRequest& request) {
  const Conv2dInputGradOp op = read_conv2d_input_grad(request);
  const ConvGeometry& g = op.geometry;
  if (g.pointwise()) return linear_input_grad(request, {g.out_pixels(), g.o, g.c, op.dtype, op.ranks});
  return conv2d_input_grad(request, op);
}

Launch make_conv2d_weight_grad(const CudaRequest& request) {
  const Conv2dWeightGradOp op = read_conv2d_weight_grad(request);
  const ConvGeometry& g = op.geometry;
  if (!g.pointwise()) return conv2d_weight_grad(request, op);
  return linear_weight_grad(request, {g.out_pixels(), g.o, g.c, op.dtype, 0, 0, g.o, g.c, op.scale});
}

LORIKEET_REGISTER_CUDA_KERNEL("conv2d", make_conv2d);
LORIKEET_REGISTER_CUDA_KERNEL("conv2d_input_grad", make_conv2d_input_grad);
LORIKEET_REGISTER_CUDA_KERNEL("conv2d_weight_grad", make_conv2d_weight_grad);

}  // namespace
}  // namespace LORIKEET_CUDA
