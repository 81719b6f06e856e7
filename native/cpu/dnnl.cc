#include "dnnl.h"

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

#if DNNL_VERSION_MAJOR >= 3
static Dims dims_of(const Desc& desc) { return desc.get_dims(); }
static dnnl::memory::data_type type_of(const Desc& desc) { return desc.get_data_type(); }
#else
static Dims dims_of(const Desc& desc) { return desc.dims(); }
static dnnl::memory::data_type type_of(const Desc& desc) { return desc.data_type(); }
#endif

std::string describe(const Desc& desc) {
  std::ostringstream out;
#if DNNL_VERSION_MAJOR >= 3
  const auto write = [&out](const Dims& values) {
    for (const auto value : values) out << ' ' << value;
    out << ';';
  };
  out << static_cast<int>(desc.get_data_type()) << ';';
  write(desc.get_dims());
  write(desc.get_padded_dims());
  write(desc.get_strides());
  write(desc.get_inner_blks());
  write(desc.get_inner_idxs());
#else
  const auto write = [&out](const dnnl_dim_t* values, int count) {
    for (int i = 0; i < count; i++) out << ' ' << values[i];
    out << ';';
  };
  const auto& blocking = desc.data.format_desc.blocking;
  out << static_cast<int>(desc.data.data_type) << ';';
  write(desc.data.dims, desc.data.ndims);
  write(desc.data.padded_dims, desc.data.ndims);
  write(blocking.strides, desc.data.ndims);
  write(blocking.inner_blks, blocking.inner_nblks);
  write(blocking.inner_idxs, blocking.inner_nblks);
#endif
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

Reorder::Reorder(const Desc& from, const Desc& to, bool turned) {
  if (!turned) {
    parts_.push_back(reorder_of(from, to));
    return;
  }
  const Dims dims = dims_of(to);
  int64_t elements = 1;
  for (const int64_t extent : dims) elements *= extent;
  // oneDNN does not clear the padding around parts of a layout, and what lies there is multiplied by zero, not skipped.
  if (static_cast<int64_t>(to.get_size()) > elements * dnnl::memory::data_type_size(type_of(to))) {
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
  if (clear_ > 0) std::memset(to, 0, static_cast<size_t>(clear_));
  for (BoundPrimitive& part : parts_) part.run({{DNNL_ARG_FROM, from}, {DNNL_ARG_TO, to}});
}

}  // namespace lorikeet::cpu
