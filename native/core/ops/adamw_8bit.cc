#include "adamw_8bit.h"

#include <algorithm>
#include <cmath>

#include "../checks.h"

namespace lorikeet {

constexpr int kPowers = 7;

// Computed in f64 and rounded once.
static std::vector<float> values_of(bool has_sign) {
  std::vector<float> values = {0.0f, 1.0f};
  for (int i = 0; i < kPowers; i++) {
    const int parts = has_sign ? 1 << i : 2 << i;
    for (int part = 0; part < parts; part++) {
      const double value = std::pow(10.0, i + 1 - kPowers) * (0.1 + 0.9 * (part + 0.5) / parts);
      values.push_back(static_cast<float>(value));
      if (has_sign) values.push_back(static_cast<float>(-value));
    }
  }
  std::sort(values.begin(), values.end());
  return values;
}

// The midpoints first .. first + 2^levels - 2 below a node of the tree.
static void fill_tree(QuantisationMap& map, int node, int levels, int first) {
  if (levels == 0) return;
  const int middle = first + (1 << (levels - 1)) - 1;
  map.midpoints[node] = (map.values[middle] + map.values[middle + 1]) * 0.5f;
  fill_tree(map, 2 * node, levels - 1, first);
  fill_tree(map, 2 * node + 1, levels - 1, middle + 1);
}

QuantisationMap quantisation_map(bool has_sign) {
  QuantisationMap map{};
  const std::vector<float> values = values_of(has_sign);
  std::copy(values.begin(), values.end(), map.values.begin());
  fill_tree(map, 1, 8, 0);
  return map;
}

Adamw8BitStep read_adamw_8bit(const OpRequest& request, int64_t longest_piece) {
  expect_operands(request, {"params", "grads", "m", "v", "m_scale", "v_scale", "norm", "scalars"},
                  {"params", "m", "v", "m_scale", "v_scale", "shadow?"});
  expect_adamw_operands(request, 6, 7, 5);
  Adamw8BitStep step;
  step.options = read_adamw_options(request);
  int64_t blocks = 0;
  for (const AdamwRange& range : read_adamw_ranges(request, request.inputs[0], request.inputs[7])) {
    const int64_t longest = longest_piece * kQuantisationBlock;
    for (int64_t done = 0; done < range.count; done += longest) {
      const int64_t count = std::min(longest, range.count - done);
      step.pieces.push_back({range.start + done, count, blocks, range.group, range.weight_decay});
      blocks += (count + kQuantisationBlock - 1) / kQuantisationBlock;
    }
  }
  const char* names[] = {"m", "v", "m_scale", "v_scale"};
  for (size_t i = 0; i < 4; i++) {
    const TensorSpec& state = request.inputs[2 + i];
    const Shape expected = i < 2 ? Shape{blocks, kQuantisationBlock / 4} : Shape{blocks};
    expect_dtype(request, names[i], state, {i < 2 ? DType::i32 : DType::f32});
    require(state.shape == expected, "adamw_8bit: ", names[i], " is ", to_string(state.shape), "; for ", blocks,
            " blocks it must be ", to_string(expected));
    expect_in_place(request, names[i], 2 + i, 1 + i);
  }
  return step;
}

}  // namespace lorikeet
