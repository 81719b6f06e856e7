// What group_norm and group_norm_backward share: the operands' shapes, how the rows are cut, and the table of numbers
// per channel that their loops read.
#pragma once

#include "../elementwise.h"

namespace lorikeet::cpu::group_norm {

// x is [samples][rows][channels], channels last. Rows are cut into blocks that stay in the second-level cache for a
// second pass; their number follows from the shape alone, since statistics are combined block by block.
struct Geometry {
  DType dtype;
  int64_t samples, rows, channels, groups;
  int64_t block_rows, blocks;  // per sample
  double eps;
  bool silu;

  int64_t group_channels() const { return channels / groups; }
  int64_t elements_per_group() const { return rows * group_channels(); }
  int64_t rows_of_block(int64_t block) const { return std::min(block_rows, rows - block * block_rows); }
};

constexpr int64_t kMaxBlocks = 256;

// Reads attributes and the shapes of x, gamma, beta and shift (whose input numbers are given); throws Error.
inline Geometry read_geometry(const KernelRequest& request, size_t x_input, size_t shift_input) {
  const std::string& op = request.instruction.op;
  const TensorSpec& x = request.inputs[x_input];
  const TensorSpec& gamma = request.inputs[x_input + 1];
  const TensorSpec& beta = request.inputs[x_input + 2];
  expect_compute_dtype(request, "x", x);
  Geometry g;
  g.dtype = x.dtype;
  g.samples = batch_of(request, "x", x);
  g.channels = columns_of(x);
  require(x.shape.size() >= 2, op, ": x has shape ", to_string(x.shape), ", expected [N, .., C]");
  g.rows = g.samples == 0 ? 0 : rows_of(x) / g.samples;
  g.groups = request.instruction.integer("groups");
  require(g.groups > 0 && g.channels % g.groups == 0, op, ": ", g.channels, " channels cannot be divided into ",
          g.groups, " groups");
  g.eps = request.instruction.number("eps");
  const std::string& activation = request.instruction.text("activation");
  require(activation == "none" || activation == "silu", op, ": activation '", activation, "' must be 'none' or 'silu'");
  g.silu = activation == "silu";
  expect_dtype(request, "gamma", gamma, {DType::f32});
  expect_shape(request, "gamma", gamma, {g.channels}, "x", x);
  expect_dtype(request, "beta", beta, {DType::f32});
  expect_shape(request, "beta", beta, {g.channels}, "x", x);
  if (request.has_input(shift_input)) {
    const TensorSpec& shift = request.inputs[shift_input];
    expect_dtype(request, "shift", shift, {x.dtype});
    expect_shape(request, "shift", shift, {g.samples, g.channels}, "x", x);
  }
  g.block_rows = std::max(row_grain(g.channels), (g.rows + kMaxBlocks - 1) / kMaxBlocks);
  g.blocks = pieces_of(g.rows, g.block_rows);
  return g;
}

// The arrays, each [channels], that turn x into the normalised value: (x + offset) * scale.
template <typename T>
void fill_table(const Geometry& g, const float* stats, const T* shift, float* offset, float* scale) {
  const int64_t width = g.group_channels();
  for (int64_t c = 0; c < g.channels; c++) {
    const float mean = stats[c / width * 2];
    offset[c] = shift ? to_f32(shift[c]) - mean : -mean;
    scale[c] = stats[c / width * 2 + 1];
  }
}

}  // namespace lorikeet::cpu::group_norm
