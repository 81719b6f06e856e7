#include "attention.h"

#include <cmath>

#include "../checks.h"

namespace lorikeet {
namespace {

constexpr const char* kNames[3][3] = {{"qkv"}, {"q", "kv"}, {"q", "k", "v"}};

void check_sources(const OpRequest& request, size_t sources) {
  const std::string& op = request.instruction.op;
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
}

// Where q, k and v lie in the sources, whose widths must fit together.
void locate(const OpRequest& request, AttentionOp& result) {
  const std::string& op = request.instruction.op;
  const int64_t channels = result.channels();
  const TensorSpec& k = request.inputs[result.sources == 1 ? 0 : 1];
  if (result.sources == 1) {
    result.q = {0, 3 * channels, 0};
    result.k = {0, 3 * channels, channels};
    result.v = {0, 3 * channels, 2 * channels};
  } else if (result.sources == 2) {
    require(columns_of(k) == 2 * channels, op, ": kv has ", columns_of(k), " columns, q has ", channels);
    result.q = {0, channels, 0};
    result.k = {1, 2 * channels, 0};
    result.v = {1, 2 * channels, channels};
  } else {
    for (size_t i = 1; i < 3; i++) {
      require(columns_of(request.inputs[i]) == channels, op, ": ", kNames[2][i], " has ", columns_of(request.inputs[i]),
              " columns, q has ", channels);
    }
    expect_shape(request, "v", request.inputs[2], k.shape, "k", k);
    result.q = {0, channels, 0};
    result.k = {1, channels, 0};
    result.v = {2, channels, 0};
  }
}

// The attributes heads, causal and scale, and the first `sources` inputs.
AttentionOp read_sources(const OpRequest& request, size_t sources) {
  check_sources(request, sources);
  const std::string& op = request.instruction.op;
  const char* const* names = kNames[sources - 1];
  const TensorSpec& q = request.inputs[0];
  AttentionOp result;
  result.dtype = q.dtype;
  result.sources = sources;
  result.heads = request.instruction.integer("heads");
  result.causal = request.instruction.number("causal") != 0;
  const double scale = request.instruction.number("scale");
  result.scale = static_cast<float>(scale);
  require(result.scale > 0 && std::isfinite(result.scale), op, ": scale is ", scale, ", expected a positive number");

  const int64_t packed = sources == 1 ? 3 : 1;
  const int64_t channels = columns_of(q) / packed;
  require(result.heads > 0 && channels > 0 && columns_of(q) % (packed * result.heads) == 0, op, ": ", columns_of(q),
          " columns of ", names[0], " cannot be divided among ", result.heads, " heads");
  result.head_size = channels / result.heads;
  result.batch = batch_of(request, names[0], q);
  const TensorSpec& k = request.inputs[sources == 1 ? 0 : 1];
  result.queries = result.batch == 0 ? 0 : rows_of(q) / result.batch;
  result.keys = result.batch == 0 ? 0 : rows_of(k) / result.batch;
  require(result.keys > 0 || result.queries == 0, op, ": there are no keys");
  locate(request, result);
  return result;
}

void expect_output(const OpRequest& request, const char* name, const TensorSpec& spec, const AttentionOp& op) {
  const TensorSpec& q = request.inputs[0];
  expect_dtype(request, name, spec, {op.dtype});
  expect_shape(request, name, spec, with_columns(q.shape, op.channels()), "q", q);
}

void expect_lse(const OpRequest& request, const TensorSpec& spec, const AttentionOp& op) {
  expect_dtype(request, "lse", spec, {DType::f32});
  expect_shape(request, "lse", spec, {op.batch, op.heads, op.queries}, "q", request.inputs[0]);
}

}  // namespace

AttentionOp read_attention(const OpRequest& request) {
  const size_t sources = request.inputs.size();
  if (sources == 1) {
    expect_operands(request, {"qkv"}, {"o", "lse"});
  } else if (sources == 2) {
    expect_operands(request, {"q", "kv"}, {"o", "lse"});
  } else {
    expect_operands(request, {"q", "k", "v"}, {"o", "lse"});
  }
  const AttentionOp op = read_sources(request, sources);
  expect_output(request, "o", request.outputs[0], op);
  expect_lse(request, request.outputs[1], op);
  return op;
}

AttentionOp read_attention_backward(const OpRequest& request) {
  const int64_t sources = request.instruction.integer("sources");
  require(sources >= 1 && sources <= 3, request.instruction.op, ": ", sources,
          " tensors with q, k and v; expected 1, 2 or 3");
  if (sources == 1) {
    expect_operands(request, {"qkv", "o", "lse", "do"}, {"dqkv"});
  } else if (sources == 2) {
    expect_operands(request, {"q", "kv", "o", "lse", "do"}, {"dq?", "dkv?"});
  } else {
    expect_operands(request, {"q", "k", "v", "o", "lse", "do"}, {"dq?", "dk?", "dv?"});
  }
  const AttentionOp op = read_sources(request, static_cast<size_t>(sources));
  expect_output(request, "o", request.inputs[op.sources], op);
  expect_lse(request, request.inputs[op.sources + 1], op);
  expect_output(request, "do", request.inputs[op.sources + 2], op);
  for (size_t i = 0; i < request.outputs.size(); i++) {
    if (!request.has_output(i)) continue;
    expect_dtype(request, "a gradient", request.outputs[i], {op.dtype});
    expect_shape(request, "a gradient", request.outputs[i], request.inputs[i].shape, "its input", request.inputs[i]);
  }
  return op;
}

}  // namespace lorikeet
