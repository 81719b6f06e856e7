// How attention and attention_backward read their instructions, and which kernels they take: those for tensor cores
// where dtype, head size and addresses suit them.
#include <cmath>

#include "../op.h"
#include "checks.h"

namespace LORIKEET_CUDA {
namespace {

// Where q, k or v lies: the columns from `column` on of operand `operand`, which has `stride` columns.
struct Source {
  size_t operand;
  int64_t stride, column;
};

struct Shapes {
  DType dtype;
  int batch, heads, head_size, queries, keys;
  bool causal;
  float scale;
  size_t sources;  // 1: [q | k | v] in one tensor, 2: q, [k | v], 3: q, k, v
  Source q, k, v;
  Shape o, lse;

  int64_t channels() const { return static_cast<int64_t>(heads) * head_size; }
  template <class Problem>
  Problem problem() const {
    Problem p;
    p.batch = batch, p.heads = heads, p.head_size = head_size;
    p.queries = queries, p.keys = keys, p.causal = causal, p.scale = scale;
    return p;
  }
};

// The columns of q, k or v in its tensor, or in the tensor's gradient; none when that is absent.
template <typename T>
Tokens<T> tokens_of(const std::vector<Tensor>& tensors, const Source& source) {
  if (source.operand >= tensors.size() || !tensors[source.operand].data) return {};
  return {data<T>(tensors[source.operand]) + source.column, source.stride};
}

constexpr const char* kNames[3][3] = {{"qkv"}, {"q", "kv"}, {"q", "k", "v"}};

Shapes read_shapes(const CudaRequest& request, size_t sources) {
  const std::string& op = request.instruction.op;
  require(sources >= 1 && sources <= 3, op, ": ", sources, " tensors with q, k and v; expected 1, 2 or 3");
  const char* const* names = kNames[sources - 1];
  const TensorSpec& q = request.inputs[0];
  for (size_t i = 0; i < sources; i++) {
    const TensorSpec& input = request.inputs[i];
    expect_compute_dtype(request, names[i], input);
    require(input.dtype == q.dtype, op, ": ", names[i], " is ", name_of(input.dtype), ", ", names[0], " is ",
            name_of(q.dtype));
    require(input.shape.size() >= 2, op, ": ", names[i], " has shape ", to_string(input.shape),
            ", expected [N, .., C]");
    require(input.shape[0] == q.shape[0], op, ": ", names[i], " has ", input.shape[0], " samples, ", names[0], " has ",
            q.shape[0]);
  }
  const double scale = request.instruction.number("scale");
  require(static_cast<float>(scale) > 0 && std::isfinite(static_cast<float>(scale)), op, ": scale is ", scale,
          ", expected a positive number");
  const int64_t heads = request.instruction.integer("heads"), packed = sources == 1 ? 3 : 1;
  const int64_t channels = columns_of(q) / packed;
  require(heads > 0 && channels > 0 && columns_of(q) % (packed * heads) == 0, op, ": ", columns_of(q), " columns of ",
          names[0], " cannot be divided among ", heads, " heads");
  const TensorSpec& k = request.inputs[sources == 1 ? 0 : 1];
  const int64_t batch = batch_of(request, names[0], q);
  const int64_t queries = batch == 0 ? 0 : rows_of(q) / batch, keys = batch == 0 ? 0 : rows_of(k) / batch;
  require(keys > 0 || queries == 0, op, ": there are no keys");

  Shapes s;
  s.dtype = q.dtype;
  s.batch = static_cast<int>(batch), s.heads = static_cast<int>(heads);
  s.head_size = static_cast<int>(channels / heads);
  s.queries = static_cast<int>(queries), s.keys = static_cast<int>(keys);
  s.causal = request.instruction.number("causal") != 0;
  s.scale = static_cast<float>(scale);
  s.sources = sources;
  if (sources == 1) {
    s.q = {0, 3 * channels, 0}, s.k = {0, 3 * channels, channels}, s.v = {0, 3 * channels, 2 * channels};
  } else if (sources == 2) {
    require(columns_of(k) == 2 * channels, op, ": kv has ", columns_of(k), " columns, q has ", channels);
    s.q = {0, channels, 0}, s.k = {1, 2 * channels, 0}, s.v = {1, 2 * channels, channels};
  } else {
    for (size_t i = 1; i < 3; i++) {
      require(columns_of(request.inputs[i]) == channels, op, ": ", names[i], " has ", columns_of(request.inputs[i]),
              " columns, q has ", channels);
    }
    expect_shape(request, "v", request.inputs[2], k.shape, "k", k);
    s.q = {0, channels, 0}, s.k = {1, channels, 0}, s.v = {2, channels, 0};
  }
  s.o = with_columns(q.shape, channels);
  s.lse = {batch, heads, queries};
  return s;
}

void launch_suitable(const Attention<float>& p, Stream stream) { launch_attention_simt(p, stream); }
void launch_suitable(const Attention<bf16>& p, Stream stream) {
  if (suits_tensor_cores(p)) return launch_attention(p, stream);
  launch_attention_simt(p, stream);
}
void launch_suitable(const AttentionBackward<float>& p, Stream stream) { launch_attention_backward_simt(p, stream); }
void launch_suitable(const AttentionBackward<bf16>& p, Stream stream) {
  if (suits_tensor_cores(p)) return launch_attention_backward(p, stream);
  launch_attention_backward_simt(p, stream);
}

Launch make_attention(const CudaRequest& request) {
  const size_t sources = request.inputs.size();
  if (sources == 1) {
    expect_operands(request, {"qkv"}, {"o", "lse"});
  } else if (sources == 2) {
    expect_operands(request, {"q", "kv"}, {"o", "lse"});
  } else {
    expect_operands(request, {"q", "k", "v"}, {"o", "lse"});
  }
  const Shapes s = read_shapes(request, sources);
  expect_dtype(request, "o", request.outputs[0], {s.dtype});
  expect_shape(request, "o", request.outputs[0], s.o, "q", request.inputs[0]);
  expect_dtype(request, "lse", request.outputs[1], {DType::f32});
  expect_shape(request, "lse", request.outputs[1], s.lse, "q", request.inputs[0]);
  return by_dtype(s.dtype, [=](auto zero) -> Launch {
    using T = decltype(zero);
    return [=](const Operands& operands, const LaunchContext& context) {
      Attention<T> p = s.problem<Attention<T>>();
      p.q = tokens_of<const T>(operands.inputs, s.q);
      p.k = tokens_of<const T>(operands.inputs, s.k);
      p.v = tokens_of<const T>(operands.inputs, s.v);
      p.o = {data<T>(operands.outputs[0]), s.channels()};
      p.lse = data<float>(operands.outputs[1]);
      launch_suitable(p, context.stream);
    };
  });
}

Launch make_attention_backward(const CudaRequest& request) {
  const int64_t sources = request.instruction.integer("sources");
  if (sources == 1) {
    expect_operands(request, {"qkv", "o", "lse", "do"}, {"dqkv"});
  } else if (sources == 2) {
    expect_operands(request, {"q", "kv", "o", "lse", "do"}, {"dq?", "dkv?"});
  } else {
    expect_operands(request, {"q", "k", "v", "o", "lse", "do"}, {"dq?", "dk?", "dv?"});
  }
  const Shapes s = read_shapes(request, static_cast<size_t>(sources));
  const auto behind = [&](size_t i) -> const TensorSpec& { return request.inputs[s.sources + i]; };
  expect_dtype(request, "o", behind(0), {s.dtype});
  expect_shape(request, "o", behind(0), s.o, "q", request.inputs[0]);
  expect_dtype(request, "lse", behind(1), {DType::f32});
  expect_shape(request, "lse", behind(1), s.lse, "q", request.inputs[0]);
  expect_dtype(request, "do", behind(2), {s.dtype});
  expect_shape(request, "do", behind(2), s.o, "q", request.inputs[0]);
  for (size_t i = 0; i < request.outputs.size(); i++) {
    if (!request.has_output(i)) continue;
    expect_dtype(request, "a gradient", request.outputs[i], {s.dtype});
    expect_shape(request, "a gradient", request.outputs[i], request.inputs[i].shape, "its input", request.inputs[i]);
  }
  request.reserve_scratch(static_cast<int64_t>(s.batch) * s.heads * s.queries * 4);
  return by_dtype(s.dtype, [=](auto zero) -> Launch {
    using T = decltype(zero);
    return [=](const Operands& operands, const LaunchContext& context) {
      AttentionBackward<T> p = s.problem<AttentionBackward<T>>();
      p.q = tokens_of<const T>(operands.inputs, s.q);
      p.k = tokens_of<const T>(operands.inputs, s.k);
      p.v = tokens_of<const T>(operands.inputs, s.v);
      p.o = {data<const T>(operands.inputs[s.sources]), s.channels()};
      p.lse = data<const float>(operands.inputs[s.sources + 1]);
      p.d_o = {data<const T>(operands.inputs[s.sources + 2]), s.channels()};
      p.delta = static_cast<float*>(context.scratch);
      p.dq = tokens_of<T>(operands.outputs, s.q);
      p.dk = tokens_of<T>(operands.outputs, s.k);
      p.dv = tokens_of<T>(operands.outputs, s.v);
      launch_suitable(p, context.stream);
    };
  });
}

LORIKEET_REGISTER_CUDA_KERNEL("attention", make_attention);
LORIKEET_REGISTER_CUDA_KERNEL("attention_backward", make_attention_backward);

}  // namespace
}  // namespace LORIKEET_CUDA
