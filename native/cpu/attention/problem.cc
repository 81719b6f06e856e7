#include "problem.h"

#include <cmath>
#include <string>

#include "../../core/checks.h"

namespace lorikeet::cpu::attention {

Matrix Problem::head(const Tensor& tensor, const Source& source, int64_t rows, int64_t head, int64_t row) const {
  const int64_t first = (head / heads * rows + row) * source.stride + source.column + head % heads * head_size;
  return {static_cast<char*>(tensor.data) + first * bytes_of(dtype), source.stride};
}

static const char* const kNames[3][3] = {{"qkv"}, {"q", "kv"}, {"q", "k", "v"}};

Problem read_problem(const KernelRequest& request, size_t sources) {
  const std::string& op = request.instruction.op;
  require(sources >= 1 && sources <= 3, op, ": ", sources, " tensors with q, k and v; expected 1, 2 or 3");
  const TensorSpec& q = request.inputs[0];
  for (size_t i = 0; i < sources; i++) {
    const TensorSpec& input = request.inputs[i];
    expect_compute_dtype(request, kNames[sources - 1][i], input);
    require(input.dtype == q.dtype, op, ": ", kNames[sources - 1][i], " is ", name_of(input.dtype), ", ",
            kNames[sources - 1][0], " is ", name_of(q.dtype));
    require(input.shape.size() >= 2, op, ": ", kNames[sources - 1][i], " has shape ", to_string(input.shape),
            ", expected [N, .., C]");
    require(input.shape[0] == q.shape[0], op, ": ", kNames[sources - 1][i], " has ", input.shape[0], " samples, ",
            kNames[sources - 1][0], " has ", q.shape[0]);
  }

  Problem p;
  p.dtype = q.dtype;
  p.sources = sources;
  p.heads = request.instruction.integer("heads");
  p.causal = request.instruction.number("causal") != 0;
  const double scale = request.instruction.number("scale");
  p.scale = static_cast<float>(scale);
  require(p.scale > 0 && std::isfinite(p.scale), op, ": scale is ", scale, ", expected a positive number");

  const int64_t packed = sources == 1 ? 3 : 1;
  const int64_t channels = columns_of(q) / packed;
  require(p.heads > 0 && channels > 0 && columns_of(q) % (packed * p.heads) == 0, op, ": ", columns_of(q),
          " columns of ", kNames[sources - 1][0], " cannot be divided among ", p.heads, " heads");
  p.head_size = channels / p.heads;
  p.batch = batch_of(request, kNames[sources - 1][0], q);
  const TensorSpec& k = request.inputs[sources == 1 ? 0 : 1];
  p.queries = p.batch == 0 ? 0 : rows_of(q) / p.batch;
  p.keys = p.batch == 0 ? 0 : rows_of(k) / p.batch;
  require(p.keys > 0 || p.batch == 0 || p.queries == 0, op, ": there are no keys");
  if (sources == 1) {
    p.q = {0, 3 * channels, 0};
    p.k = {0, 3 * channels, channels};
    p.v = {0, 3 * channels, 2 * channels};
  } else if (sources == 2) {
    require(columns_of(k) == 2 * channels, op, ": kv has ", columns_of(k), " columns, q has ", channels);
    p.q = {0, channels, 0};
    p.k = {1, 2 * channels, 0};
    p.v = {1, 2 * channels, channels};
  } else {
    for (size_t i = 1; i < 3; i++) {
      require(columns_of(request.inputs[i]) == channels, op, ": ", kNames[2][i], " has ", columns_of(request.inputs[i]),
              " columns, q has ", channels);
    }
    expect_shape(request, "v", request.inputs[2], k.shape, "k", k);
    p.q = {0, channels, 0};
    p.k = {1, channels, 0};
    p.v = {2, channels, 0};
  }
  p.q_shape = with_columns(q.shape, channels);
  p.lse_shape = {p.batch, p.heads, p.queries};
  return p;
}

Tiling tiling(int64_t n, int64_t lanes) {
  const int64_t least = std::max<int64_t>(1, (n + kTile - 1) / kTile);
  const int64_t size = (std::max<int64_t>(1, (n + least - 1) / least) + lanes - 1) / lanes * lanes;
  return {size, (n + size - 1) / size};
}

int64_t heads_at_once(int64_t total, int64_t bytes_per_head, int64_t threads) {
  constexpr int64_t kBytes = 2 << 20;
  const int64_t most = std::clamp(std::max(kBytes / std::max<int64_t>(1, bytes_per_head), threads), int64_t{1},
                                  std::max<int64_t>(1, total));
  const int64_t groups = (total + most - 1) / most;
  return groups == 0 ? 1 : (total + groups - 1) / groups;  // groups of equal size
}

}  // namespace lorikeet::cpu::attention
