#include "cuda/kernels/adamw_8bit.h"

#include "reference.h"

namespace lorikeet::cuda_sim::test {
namespace {

using sim::Mode;
using sim::Rights;

struct Options {
  int64_t start;  // of the first piece
  bool wide;
  float norm;
  bool shadow;
};

constexpr int kLevels = 256;

// Evenly spaced, to see the kernel's own doing: any table must do. Numbers without a sign begin at 0.
double level(int code, bool has_sign) { return has_sign ? (code - 127) / 128.0 : code / 255.0; }

void fill_tree(float* midpoints, bool has_sign, int node, int levels, int first) {
  if (levels == 0) return;
  const int middle = first + (1 << (levels - 1)) - 1;
  midpoints[node] = static_cast<float>((level(middle, has_sign) + level(middle + 1, has_sign)) / 2);
  fill_tree(midpoints, has_sign, 2 * node, levels - 1, first);
  fill_tree(midpoints, has_sign, 2 * node + 1, levels - 1, middle + 1);
}

// A moment of one block after a step: how far scale and codes are from those of the values in double.
void add_errors(Errors& errors, const std::vector<double>& values, const uint8_t* codes, float scale, bool has_sign) {
  double largest = 0;
  for (const double value : values) largest = std::max(largest, std::fabs(value));
  errors.add(scale, largest, largest * 0x1p-20);
  for (size_t i = 0; i < values.size(); i++) {
    double least = INFINITY;
    for (int code = 0; code < kLevels; code++) {
      least = std::min(least, std::fabs(level(code, has_sign) * scale - values[i]));
    }
    const double distance = std::fabs(level(codes[i], has_sign) * scale - values[i]);
    errors.add(static_cast<float>(distance - least), 0, largest * 0x1p-20);
  }
}

// Three steps: two whole blocks and a part of one, and a part of one with another learning rate.
void run(Json& line, const Options& options) {
  const double beta1 = 0.9, beta2 = 0.999, eps = 1e-8, rates[] = {1e-3, 5e-4};
  const AdamwPiece pieces[] = {{options.start, 0, 0.01, 2 * 256 + 131, 0}, {options.start + 660, 3, 0.1, 70, 1}};
  const size_t count = 740, blocks = 4;
  DeviceArray<AdamwPiece> piece("piece", 2, Rights::read);
  DeviceArray<QuantisationTable> table("table", 1, Rights::read);
  DeviceArray<float> params("params", count), grads("grads", count, Rights::read);
  DeviceArray<uint32_t> m("m", blocks * 64), v("v", blocks * 64);
  DeviceArray<float> m_scale("m_scale", blocks), v_scale("v_scale", blocks);
  DeviceArray<float> norm("norm", 1, Rights::read), scalars("scalars", 4, Rights::read);
  DeviceArray<bf16> shadow("shadow", count);
  std::copy(pieces, pieces + 2, piece.data());
  for (int code = 0; code < kLevels; code++) {
    table[0].m_values[code] = static_cast<float>(level(code, true));
    table[0].v_values[code] = static_cast<float>(level(code, false));
  }
  fill_tree(table[0].m_midpoints, true, 1, 8, 0);
  fill_tree(table[0].v_midpoints, false, 1, 8, 0);
  Random random(7);
  random.fill(params);
  const std::vector<float> before(params.data(), params.data() + count);
  const uint8_t* m_codes = reinterpret_cast<const uint8_t*>(m.data());
  const uint8_t* v_codes = reinterpret_cast<const uint8_t*>(v.data());

  Errors errors;
  for (int step = 1; step <= 3; step++) {
    random.fill(grads, 0.1f);
    norm[0] = options.norm;
    scalars[0] = static_cast<float>(1 - std::pow(beta1, step));
    scalars[1] = static_cast<float>(1 - std::pow(beta2, step));
    for (int group = 0; group < 2; group++) scalars[2 + group] = static_cast<float>(rates[group]);
    const std::vector<float> p(params.data(), params.data() + count);
    const std::vector<uint8_t> old_m(m_codes, m_codes + blocks * 256), old_v(v_codes, v_codes + blocks * 256);
    const std::vector<float> old_m_scale(m_scale.data(), m_scale.data() + blocks);
    const std::vector<float> old_v_scale(v_scale.data(), v_scale.data() + blocks);
    launch_adamw_8bit({2, piece.data(), table.data(), beta1, beta2, eps, 0.5, params.data(), grads.data(), m.data(),
                       v.data(), m_scale.data(), v_scale.data(), norm.data(), scalars.data(),
                       options.shadow ? shadow.data() : nullptr, options.wide},
                      Stream());
    if (!std::isfinite(options.norm)) continue;
    const double clip = std::min(1.0, 0.5 / (options.norm + 1e-6));
    for (const AdamwPiece& one : pieces) {
      for (int64_t block = 0; block * 256 < one.count; block++) {
        const int64_t row = one.state + block, n = std::min<int64_t>(256, one.count - block * 256);
        std::vector<double> means, squares;
        for (int64_t i = 0; i < n; i++) {
          const int64_t at = one.start + block * 256 + i;
          const double gradient = grads[at] * clip, rate = rates[one.group];
          means.push_back(beta1 * level(old_m[row * 256 + i], true) * old_m_scale[row] + (1 - beta1) * gradient);
          squares.push_back(beta2 * level(old_v[row * 256 + i], false) * old_v_scale[row] +
                            (1 - beta2) * gradient * gradient);
          const double change = rate * means[i] / scalars[0] / (std::sqrt(squares[i] / scalars[1]) + eps);
          errors.add(params[at], p[at] * (1 - rate * one.weight_decay) - change, rate * 0x1p-16);
        }
        add_errors(errors, means, m_codes + row * 256, m_scale[row], true);
        add_errors(errors, squares, v_codes + row * 256, v_scale[row], false);
      }
    }
  }

  int changed = 0, wrong_shadows = 0, stray_codes = 0;
  for (size_t i = 0; i < count; i++) {
    const int64_t at = static_cast<int64_t>(i) - options.start;
    const bool used = (at >= 0 && at < pieces[0].count) || (at >= 660 && at < 730);
    changed += params[i] != before[i];
    const bool shadowed = used && options.shadow && std::isfinite(options.norm);
    wrong_shadows += shadow[i].bits != (shadowed ? from_float<bf16>(params[i]).bits : 0);
  }
  for (size_t i = 0; i < blocks * 256; i++) {
    const bool used = i < 2 * 256 + 131 || (i >= 3 * 256 && i < 3 * 256 + 70);
    stray_codes += (!used || !std::isfinite(options.norm)) && (m_codes[i] != 0 || v_codes[i] != 0);
  }
  line.number("error", errors.worst()).number("changed", changed).number("wrongShadows", wrong_shadows);
  line.number("strayCodes", stray_codes).raw("counters", counters_of("adamw_8bit"));
}

}  // namespace
}  // namespace lorikeet::cuda_sim::test

int main() {
  using namespace lorikeet::cuda_sim::test;
  const auto test = [](const char* name, const Options& options) {
    check(name, lorikeet::sim::Mode::strict, [&](Json& line) { run(line, options); });
  };
  test("four at a time", {4, true, 2.5f, true});
  test("four at a time, no shadow", {0, true, 0.25f, false});
  test("one at a time", {3, false, 2.5f, true});
  test("infinite norm", {0, true, INFINITY, true});
  test("norm is no number", {0, true, NAN, true});
}
