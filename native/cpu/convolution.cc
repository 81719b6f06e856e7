#include "convolution.h"

namespace lorikeet::cpu {

Desc plain_conv_weights(const ConvGeometry& g, DType dtype) {
  return plain_desc({g.o, g.c, g.kh, g.kw}, dtype, {0, 2, 3, 1});
}

namespace {

Desc images(int64_t n, int64_t h, int64_t w, int64_t c, DType dtype) {
  return plain_desc({n, c, h, w}, dtype, {0, 2, 3, 1});
}
Desc input_of(const ConvGeometry& g, DType dtype) { return images(g.n, g.h, g.w, g.c, dtype); }
Desc output_of(const ConvGeometry& g, DType dtype) { return images(g.n, g.ho(), g.wo(), g.o, dtype); }
Desc any_weights(const ConvGeometry& g, DType dtype) { return any_desc({g.o, g.c, g.kh, g.kw}, dtype); }

constexpr auto kDirect = dnnl::algorithm::convolution_direct;

dnnl::convolution_forward::primitive_desc forward_desc(const ConvGeometry& g, DType dtype, bool bias, bool accumulate) {
  const Desc x = input_of(g, dtype), w = any_weights(g, dtype), y = output_of(g, dtype);
  const Desc b = plain_desc({g.o}, DType::f32, {0});
  const Dims strides = {g.stride, g.stride}, before = {g.top, g.left}, after = {g.bottom, g.right};
  const auto kind = dnnl::prop_kind::forward_training;
  const dnnl::primitive_attr attr = attributes(1, accumulate);
#if DNNL_VERSION_MAJOR >= 3
  if (bias) return {dnnl_engine(), kind, kDirect, x, w, b, y, strides, before, after, attr};
  return {dnnl_engine(), kind, kDirect, x, w, y, strides, before, after, attr};
#else
  using Operation = dnnl::convolution_forward::desc;
  if (bias) return {Operation(kind, kDirect, x, w, b, y, strides, before, after), attr, dnnl_engine()};
  return {Operation(kind, kDirect, x, w, y, strides, before, after), attr, dnnl_engine()};
#endif
}

}  // namespace

ConvForward::ConvForward(const ConvGeometry& geometry, DType dtype, bool bias, bool accumulate) {
  const auto desc = forward_desc(geometry, dtype, bias, accumulate);
  weights_ = desc.weights_desc();
  scratch_bytes_ = aligned(static_cast<int64_t>(desc.scratchpad_desc().get_size()));
  std::vector<std::pair<int, Desc>> operands = {{DNNL_ARG_SRC, desc.src_desc()},
                                                {DNNL_ARG_WEIGHTS, weights_},
                                                {DNNL_ARG_DST, desc.dst_desc()},
                                                {DNNL_ARG_SCRATCHPAD, desc.scratchpad_desc()}};
  if (bias) operands.push_back({DNNL_ARG_BIAS, desc.bias_desc()});
  primitive_ = BoundPrimitive(dnnl::convolution_forward(desc), operands);
}

void ConvForward::run(const void* x, const void* weights, const float* bias, void* y, void* scratch) {
  primitive_.run({{DNNL_ARG_SRC, x},
                  {DNNL_ARG_WEIGHTS, weights},
                  {DNNL_ARG_BIAS, bias},
                  {DNNL_ARG_DST, y},
                  {DNNL_ARG_SCRATCHPAD, scratch}});
}

ConvInputGrad::ConvInputGrad(const ConvGeometry& g, DType dtype, DType dx_dtype) {
  const Desc dx = input_of(g, dx_dtype), w = any_weights(g, dtype), dy = output_of(g, dtype);
  const Dims strides = {g.stride, g.stride}, before = {g.top, g.left}, after = {g.bottom, g.right};
  const auto hint = forward_desc(g, dtype, false, false);
  const dnnl::primitive_attr attr = attributes(1, false);
#if DNNL_VERSION_MAJOR >= 3
  const dnnl::convolution_backward_data::primitive_desc desc(dnnl_engine(), kDirect, dx, w, dy, strides, before, after,
                                                             hint, attr);
#else
  const dnnl::convolution_backward_data::primitive_desc desc(
      dnnl::convolution_backward_data::desc(kDirect, dx, w, dy, strides, before, after), attr, dnnl_engine(), hint);
#endif
  weights_ = desc.weights_desc();
  scratch_bytes_ = aligned(static_cast<int64_t>(desc.scratchpad_desc().get_size()));
  primitive_ = BoundPrimitive(dnnl::convolution_backward_data(desc), {{DNNL_ARG_DIFF_DST, desc.diff_dst_desc()},
                                                                      {DNNL_ARG_WEIGHTS, weights_},
                                                                      {DNNL_ARG_DIFF_SRC, desc.diff_src_desc()},
                                                                      {DNNL_ARG_SCRATCHPAD, desc.scratchpad_desc()}});
}

void ConvInputGrad::run(const void* dy, const void* weights, void* dx, void* scratch) {
  primitive_.run(
      {{DNNL_ARG_DIFF_DST, dy}, {DNNL_ARG_WEIGHTS, weights}, {DNNL_ARG_DIFF_SRC, dx}, {DNNL_ARG_SCRATCHPAD, scratch}});
}

ConvWeightGrad::ConvWeightGrad(const ConvGeometry& g, DType dtype) {
  const Desc x = input_of(g, dtype), dw = any_weights(g, DType::f32), dy = output_of(g, dtype);
  const Dims strides = {g.stride, g.stride}, before = {g.top, g.left}, after = {g.bottom, g.right};
  const auto hint = forward_desc(g, dtype, false, false);
  const dnnl::primitive_attr attr = attributes(1, false);
#if DNNL_VERSION_MAJOR >= 3
  const dnnl::convolution_backward_weights::primitive_desc desc(dnnl_engine(), kDirect, x, dw, dy, strides, before,
                                                                after, hint, attr);
#else
  const dnnl::convolution_backward_weights::primitive_desc desc(
      dnnl::convolution_backward_weights::desc(kDirect, x, dw, dy, strides, before, after), attr, dnnl_engine(), hint);
#endif
  const Desc packed = desc.diff_weights_desc();
  packed_bytes_ = aligned(static_cast<int64_t>(packed.get_size()));
  primitive_bytes_ = aligned(static_cast<int64_t>(desc.scratchpad_desc().get_size()));
  primitive_ =
      BoundPrimitive(dnnl::convolution_backward_weights(desc), {{DNNL_ARG_SRC, desc.src_desc()},
                                                                {DNNL_ARG_DIFF_DST, desc.diff_dst_desc()},
                                                                {DNNL_ARG_DIFF_WEIGHTS, packed},
                                                                {DNNL_ARG_SCRATCHPAD, desc.scratchpad_desc()}});
  unpack_ = Reorder(packed, plain_conv_weights(g, DType::f32));
}

void ConvWeightGrad::run(const void* dy, const void* x, float* dw, void* scratch) {
  char* packed = static_cast<char*>(scratch);
  primitive_.run({{DNNL_ARG_SRC, x},
                  {DNNL_ARG_DIFF_DST, dy},
                  {DNNL_ARG_DIFF_WEIGHTS, packed},
                  {DNNL_ARG_SCRATCHPAD, packed + packed_bytes_}});
  unpack_.run(packed, dw);
}

}  // namespace lorikeet::cpu
