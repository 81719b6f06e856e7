// oneDNN behind one face for its API of versions 2.6 and later and 3.x: descriptors, the process-wide engine, and the
// layouts in which its primitives want their weights. Nothing else includes oneDNN's headers.
#pragma once

#include <oneapi/dnnl/dnnl.hpp>

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "../core/tensor.h"
#include "../core/weight_store.h"
#include "pair_blocks.h"

namespace lorikeet::cpu {

using Dims = dnnl::memory::dims;
using Desc = dnnl::memory::desc;

const dnnl::engine& dnnl_engine();
dnnl::stream& dnnl_stream();  // of the calling thread

dnnl::memory::data_type dnnl_type(DType dtype);  // throws Error for what oneDNN does not compute with

// Row-major strides of `dims` in the given order of axes, outermost first: order {0, 2, 3, 1} is NHWC for dims NCHW.
Desc plain_desc(const Dims& dims, DType dtype, const std::vector<int>& order);
Desc strided_desc(const Dims& dims, DType dtype, const Dims& strides);
inline Desc any_desc(const Dims& dims, DType dtype) { return {dims, dnnl_type(dtype), dnnl::memory::format_tag::any}; }
std::string describe(const Desc& desc);  // equal for equal layouts

// What an execution needs besides operands: scratchpads are ours (Scratch), and dst = scale * product (+ dst).
dnnl::primitive_attr attributes(float scale, bool accumulate);

// One primitive with its memory objects, made once: running it only exchanges pointers.
class BoundPrimitive {
 public:
  BoundPrimitive() = default;
  BoundPrimitive(const dnnl::primitive& primitive, const std::vector<std::pair<int, Desc>>& operands);
  void run(std::initializer_list<std::pair<int, const void*>> pointers);

 private:
  dnnl::primitive primitive_;
  std::unordered_map<int, dnnl::memory> arguments_;
};

// Exchanges the layout of a weight, with the calling thread's number of threads: transpose_pairs or a reorder of
// oneDNN's. `turned` also exchanges the first two axes and mirrors the other two (taps of a convolution): `to` then has
// dims {C, O, kh, kw}.
class Reorder {
 public:
  Reorder() = default;
  Reorder(const Desc& from, const Desc& to, bool turned = false);
  void run(const void* from, void* to);

 private:
  static std::optional<std::pair<PairBlocks, PairBlocks>> as_transposition(const Desc& from, const Desc& to,
                                                                           bool turned);
  std::optional<std::pair<PairBlocks, PairBlocks>> transposition_;
  std::vector<BoundPrimitive> parts_;
  int64_t clear_ = 0;  // bytes of a padded destination
};

// A weight's elements as a primitive wants them; `plain` describes the same weight in our row-major order.
class DnnlLayout : public WeightLayout {
 public:
  DnnlLayout(Desc plain, Desc packed, bool turned = false)
      : plain_(std::move(plain)), packed_(std::move(packed)), turned_(turned) {}
  std::string key() const override { return describe(packed_); }
  int64_t bytes() const override { return static_cast<int64_t>(packed_.get_size()); }
  void pack(const void* plain, void* packed) const override { Reorder(plain_, packed_, turned_).run(plain, packed); }
  void unpack(const void* packed, void* plain) const override { Reorder(packed_, plain_, turned_).run(packed, plain); }
  const Desc& packed() const { return packed_; }

 private:
  Desc plain_;
  Desc packed_;
  bool turned_;
};

inline int64_t aligned(int64_t bytes) { return (bytes + 63) / 64 * 64; }

}  // namespace lorikeet::cpu
