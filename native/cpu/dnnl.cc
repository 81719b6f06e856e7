#include "dnnl.h"

#include <algorithm>
#include <cstring>
#include <sstream>

namespace lorikeet::cpu {

// Never destroyed: environments and OpenMP threads may end after this library's own static objects.
const dnnl::engine& dnnl_engine() {
  static const auto* engine = new dnnl::engine(dnnl::engine::kind::cpu, 0);
  return *engine;
}

dnnl::stream& dnnl_stream() {
  static thread_local auto* stream = new dnnl::stream(dnnl_engine());
  return *stream;
}

dnnl::memory::data_type dnnl_type(DType dtype) {
  switch (dtype) {
    case DType::f32: return dnnl::memory::data_type::f32;
    case DType::bf16: return dnnl::memory::data_type::bf16;
    default: fail("expected f32 or bf16, got ", name_of(dtype));
  }
}

Desc plain_desc(const Dims& dims, DType dtype, const std::vector<int>& order) {
  Dims strides(dims.size());
  int64_t stride = 1;
  for (size_t i = order.size(); i-- > 0;) {
    strides[order[i]] = stride;
    stride *= dims[order[i]];
  }
  return strided_desc(dims, dtype, strides);
}

Desc strided_desc(const Dims& dims, DType dtype, const Dims& strides) { return {dims, dnnl_type(dtype), strides}; }

namespace {

// What a layout is made of, whichever way this version of oneDNN tells it.
struct Blocking {
  dnnl::memory::data_type type;
  Dims dims, padded, strides, inner_blocks, inner_axes;

  explicit Blocking(const Desc& desc) {
#if DNNL_VERSION_MAJOR >= 3
    type = desc.get_data_type();
    dims = desc.get_dims();
    padded = desc.get_padded_dims();
    strides = desc.get_strides();
    inner_blocks = desc.get_inner_blks();
    inner_axes = desc.get_inner_idxs();
#else
    const auto list = [](const dnnl_dim_t* values, int count) { return Dims(values, values + count); };
    const auto& blocking = desc.data.format_desc.blocking;
    type = desc.data_type();
    dims = list(desc.data.dims, desc.data.ndims);
    padded = list(desc.data.padded_dims, desc.data.ndims);
    strides = list(blocking.strides, desc.data.ndims);
    inner_blocks = list(blocking.inner_blks, blocking.inner_nblks);
    inner_axes = list(blocking.inner_idxs, blocking.inner_nblks);
#endif
  }
};

// The layout as pair_blocks.h describes it, when it is one: [outputs / width][.. summed / 2][width][2], without
// padding.
std::optional<PairBlocks> pair_blocks_of(const Blocking& layout, int output_axis, int summed_axis) {
  const Dims& blocks = layout.inner_blocks;
  const bool split = blocks.size() == 3;  // the summed extent in blocks of its own, which follow each other
  const size_t at = split ? 1 : 0;
  if (layout.type != dnnl::memory::data_type::bf16 || blocks.size() != at + 2 || layout.padded != layout.dims)
    return {};
  if (layout.inner_axes[at] != output_axis || layout.inner_axes[at + 1] != summed_axis || blocks[at + 1] != 2)
    return {};
  if (split && layout.inner_axes[0] != summed_axis) return {};
  PairBlocks result;
  result.width = blocks[at];
  if (layout.strides[summed_axis] != (split ? blocks[0] : 1) * result.width * 2) return {};
  result.summed = layout.dims[summed_axis];
  result.outputs = layout.dims[output_axis];
  result.block = layout.strides[output_axis];
  if (layout.dims.size() == 2) {
    result.offsets = {0};
    return result;
  }
  for (int64_t i = 0; i < layout.dims[2]; i++) {
    for (int64_t j = 0; j < layout.dims[3]; j++)
      result.offsets.push_back(i * layout.strides[2] + j * layout.strides[3]);
  }
  return result;
}

}  // namespace

std::string describe(const Desc& desc) {
  const Blocking layout(desc);
  std::ostringstream out;
  out << static_cast<int>(layout.type) << ';';
  for (const Dims* values : {&layout.dims, &layout.padded, &layout.strides, &layout.inner_blocks, &layout.inner_axes}) {
    for (const auto value : *values) out << ' ' << value;
    out << ';';
  }
  return out.str();
}

dnnl::primitive_attr attributes(float scale, bool accumulate) {
  dnnl::primitive_attr attributes;
  attributes.set_scratchpad_mode(dnnl::scratchpad_mode::user);
  dnnl::post_ops operations;
  if (scale != 1.0f) {
#if DNNL_VERSION_MAJOR >= 3
    operations.append_eltwise(dnnl::algorithm::eltwise_linear, scale, 0.0f);
#else
    operations.append_eltwise(1.0f, dnnl::algorithm::eltwise_linear, scale, 0.0f);
#endif
  }
  if (accumulate) operations.append_sum(1.0f);
  attributes.set_post_ops(operations);
  return attributes;
}

BoundPrimitive::BoundPrimitive(const dnnl::primitive& primitive, const std::vector<std::pair<int, Desc>>& operands)
    : primitive_(primitive) {
  for (const auto& [argument, desc] : operands) {
    arguments_.emplace(argument, dnnl::memory(desc, dnnl_engine(), DNNL_MEMORY_NONE));
  }
}

void BoundPrimitive::run(std::initializer_list<std::pair<int, const void*>> pointers) {
  for (const auto& [argument, pointer] : pointers) {
    const auto found = arguments_.find(argument);
    if (found == arguments_.end()) continue;  // an operand that this primitive does without
    dnnl::memory& memory = found->second;
    if (memory.get_data_handle() != pointer) memory.set_data_handle(const_cast<void*>(pointer));
  }
  dnnl::stream& stream = dnnl_stream();
  primitive_.execute(stream, arguments_);
  stream.wait();
}

static BoundPrimitive reorder_of(const Desc& from, const Desc& to) {
  const dnnl::reorder::primitive_desc desc(dnnl_engine(), from, dnnl_engine(), to);
  return BoundPrimitive(dnnl::reorder(desc), {{DNNL_ARG_FROM, from}, {DNNL_ARG_TO, to}});
}

// The same weight for the other direction, when both layouts are blocks of pairs.
std::optional<std::pair<PairBlocks, PairBlocks>> Reorder::as_transposition(const Desc& from, const Desc& to,
                                                                           bool turned) {
  auto source = pair_blocks_of(Blocking(from), 0, 1);
  const auto target = turned ? pair_blocks_of(Blocking(to), 0, 1) : pair_blocks_of(Blocking(to), 1, 0);
  if (!source || !target) return {};
  if (turned) std::reverse(source->offsets.begin(), source->offsets.end());
  if (!can_transpose_pairs(*source, *target)) return {};
  return std::make_pair(*source, *target);
}

Reorder::Reorder(const Desc& from, const Desc& to, bool turned) {
  transposition_ = as_transposition(from, to, turned);
  if (transposition_) return;
  if (!turned) {
    parts_.push_back(reorder_of(from, to));
    return;
  }
  const Blocking target(to);
  const Dims& dims = target.dims;
  int64_t elements = 1;
  for (const int64_t extent : dims) elements *= extent;
  // oneDNN does not clear the padding around parts of a layout, and what lies there is multiplied by zero, not skipped.
  if (static_cast<int64_t>(to.get_size()) >
      elements * static_cast<int64_t>(dnnl::memory::data_type_size(target.type))) {
    clear_ = static_cast<int64_t>(to.get_size());
  }
  const Desc exchanged = from.permute_axes({1, 0, 2, 3});
  const Dims part = {dims[0], dims[1], 1, 1};
  for (int64_t i = 0; i < dims[2]; i++) {
    for (int64_t j = 0; j < dims[3]; j++) {
      parts_.push_back(reorder_of(exchanged.submemory_desc(part, {0, 0, dims[2] - 1 - i, dims[3] - 1 - j}),
                                  to.submemory_desc(part, {0, 0, i, j})));
    }
  }
}

void Reorder::run(const void* from, void* to) {
  if (transposition_) {
    transpose_pairs(transposition_->first, static_cast<const bf16*>(from), transposition_->second,
                    static_cast<bf16*>(to));
    return;
  }
  if (clear_ > 0) std::memset(to, 0, static_cast<size_t>(clear_));
  for (BoundPrimitive& part : parts_) part.run({{DNNL_ARG_FROM, from}, {DNNL_ARG_TO, to}});
}

}  // namespace lorikeet::cpu
