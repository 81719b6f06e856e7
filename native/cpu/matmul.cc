#include "matmul.h"

#include "parallel.h"

namespace lorikeet::cpu {

namespace {

// Within its scope, primitives are made for one thread.
class OneThread {
 public:
  OneThread() : before_(thread_count()) { set_thread_count(1); }
  ~OneThread() { set_thread_count(before_); }

 private:
  int before_;
};

dnnl::matmul::primitive_desc describe_matmul(const Desc& src, const Desc& weights, const Desc* bias, const Desc& dst,
                                             const dnnl::primitive_attr& attributes) {
#if DNNL_VERSION_MAJOR >= 3
  if (bias) return {dnnl_engine(), src, weights, *bias, dst, attributes};
  return {dnnl_engine(), src, weights, dst, attributes};
#else
  if (bias) return {dnnl::matmul::desc(src, weights, *bias, dst), attributes, dnnl_engine()};
  return {dnnl::matmul::desc(src, weights, dst), attributes, dnnl_engine()};
#endif
}

}  // namespace

Matmul::Matmul(const MatmulShape& shape, int slots) {
  const Desc src = strided_desc({shape.m, shape.k}, shape.dtype, {shape.src_row, shape.src_column});
  const Desc dst = strided_desc({shape.m, shape.n}, shape.dst_dtype, {shape.dst_row, 1});
  const Desc bias = strided_desc({1, shape.n}, DType::f32, {shape.n, 1});
  const auto make = [&] {
    const auto desc = describe_matmul(src, shape.weights, shape.bias ? &bias : nullptr, dst,
                                      attributes(shape.scale, shape.accumulate));
    const dnnl::matmul primitive(desc);
    scratch_bytes_ = aligned(static_cast<int64_t>(desc.scratchpad_desc().get_size()));
    implementation_ = desc.impl_info_str();
    std::vector<std::pair<int, Desc>> operands = {{DNNL_ARG_SRC, src},
                                                  {DNNL_ARG_WEIGHTS, shape.weights},
                                                  {DNNL_ARG_DST, dst},
                                                  {DNNL_ARG_SCRATCHPAD, desc.scratchpad_desc()}};
    if (shape.bias) operands.push_back({DNNL_ARG_BIAS, bias});
    for (int slot = 0; slot < slots; slot++) slots_.emplace_back(primitive, operands);
  };
  if (slots == 1) {
    make();
  } else {
    const OneThread one_thread;
    make();
  }
}

void Matmul::run(int slot, const void* src, const void* weights, const float* bias, void* dst, void* scratch) {
  slots_[slot].run({{DNNL_ARG_SRC, src},
                    {DNNL_ARG_WEIGHTS, weights},
                    {DNNL_ARG_BIAS, bias},
                    {DNNL_ARG_DST, dst},
                    {DNNL_ARG_SCRATCHPAD, scratch}});
}

Desc packed_weights(int64_t k, int64_t n, DType dtype) {
  constexpr int64_t kTypicalRows = 1024;
  const Desc src = strided_desc({kTypicalRows, k}, dtype, {k, 1});
  const Desc dst = strided_desc({kTypicalRows, n}, dtype, {n, 1});
  return describe_matmul(src, any_desc({k, n}, dtype), nullptr, dst, attributes(1, false)).weights_desc();
}

}  // namespace lorikeet::cpu
