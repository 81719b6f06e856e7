// Which kernels attention and attention_backward take: those for tensor cores where dtype, head size and addresses suit
// them.
#include "../../native/core/ops/attention.h"
#include "../extent.h"
#include "../op.h"
#include "checks.h"

namespace LORIKEET_CUDA {
namespace {

void expect_countable(const CudaRequest& request, const AttentionOp& op) {
  for (const int64_t value : {op.batch, op.heads, op.head_size, op.queries, op.keys}) extent(request, value);
}

template <class Problem>
Problem problem_of(const AttentionOp& op) {
  Problem p;
  p.batch = static_cast<int>(op.batch), p.heads = static_cast<int>(op.heads);
  p.head_size = static_cast<int>(op.head_size);
  p.queries = static_cast<int>(op.queries), p.keys = static_cast<int>(op.keys);
  p.causal = op.causal, p.scale = op.scale;
  return p;
}

// The columns of q, k or v in its tensor, or in the tensor's gradient; none when that is absent.
template <typename T>
Tokens<T> tokens_of(const std::vector<Tensor>& tensors, const AttentionSource& source) {
  if (source.operand >= tensors.size() || !tensors[source.operand].data) return {};
  return {data<T>(tensors[source.operand]) + source.column, source.stride};
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
  const AttentionOp op = read_attention(request);
  expect_countable(request, op);
  return by_dtype(op.dtype, [=](auto zero) -> Launch {
    using T = decltype(zero);
    return [=](const Operands& operands, const LaunchContext& context) {
      Attention<T> p = problem_of<Attention<T>>(op);
      p.q = tokens_of<const T>(operands.inputs, op.q);
      p.k = tokens_of<const T>(operands.inputs, op.k);
      p.v = tokens_of<const T>(operands.inputs, op.v);
      p.o = {data<T>(operands.outputs[0]), op.channels()};
      p.lse = data<float>(operands.outputs[1]);
      launch_suitable(p, context.stream);
    };
  });
}

// Without queries nobody looked at keys and values.
Launch clear_gradients() {
  return [](const Operands& operands, const LaunchContext& context) {
    for (const Tensor& gradient : operands.outputs) {
      if (gradient.data == nullptr || gradient.bytes() == 0) continue;
      check(cudaMemsetAsync(gradient.data, 0, static_cast<size_t>(gradient.bytes()), context.stream),
            "clearing gradients of attention");
    }
  };
}

Launch make_attention_backward(const CudaRequest& request) {
  const AttentionOp op = read_attention_backward(request);
  expect_countable(request, op);
  if (op.queries == 0) return clear_gradients();
  const int64_t sums =
      op.dtype == DType::bf16 ? attention_backward_sums(problem_of<AttentionBackward<bf16>>(op)) : 0;
  request.reserve_scratch((sums + op.batch * op.heads * op.queries) * 4);
  return by_dtype(op.dtype, [=](auto zero) -> Launch {
    using T = decltype(zero);
    return [=](const Operands& operands, const LaunchContext& context) {
      AttentionBackward<T> p = problem_of<AttentionBackward<T>>(op);
      p.q = tokens_of<const T>(operands.inputs, op.q);
      p.k = tokens_of<const T>(operands.inputs, op.k);
      p.v = tokens_of<const T>(operands.inputs, op.v);
      p.o = {data<const T>(operands.inputs[op.sources]), op.channels()};
      p.lse = data<const float>(operands.inputs[op.sources + 1]);
      p.d_o = {data<const T>(operands.inputs[op.sources + 2]), op.channels()};
      p.sums = static_cast<float*>(context.scratch);
      p.delta = p.sums + sums;
      p.dq = tokens_of<T>(operands.outputs, op.q);
      p.dk = tokens_of<T>(operands.outputs, op.k);
      p.dv = tokens_of<T>(operands.outputs, op.v);
      launch_suitable(p, context.stream);
    };
  });
}

LORIKEET_REGISTER_CUDA_KERNEL("attention", make_attention);
LORIKEET_REGISTER_CUDA_KERNEL("attention_backward", make_attention_backward);

}  // namespace
}  // namespace LORIKEET_CUDA
