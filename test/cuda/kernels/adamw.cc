#include "cuda/kernels/adamw.h"

#include "reference.h"

namespace lorikeet::cuda_sim::test {
namespace {

using sim::Mode;
using sim::Rights;

struct Options {
  double max_norm;
  float norm;
  bool shadow;
};

// Three steps on 700 parameters in pieces of two learning rates; 20 between two pieces belong to none.
void run(Json& line, const Options& options) {
  const double beta1 = 0.9, beta2 = 0.999, eps = 1e-8, rates[] = {1e-3, 5e-4};
  const AdamwPiece pieces[] = {{0, 0, 0.01, 300, 0}, {320, 320, 0.0, 100, 1}, {420, 420, 0.1, 280, 0}};
  const size_t count = 700;
  DeviceArray<AdamwPiece> piece("piece", 3, Rights::read);
  DeviceArray<float> params("params", count), grads("grads", count, Rights::read), m("m", count), v("v", count);
  DeviceArray<float> norm("norm", 1, Rights::read), scalars("scalars", 4, Rights::read);
  DeviceArray<bf16> shadow("shadow", count);
  std::copy(pieces, pieces + 3, piece.data());
  Random random(7);
  random.fill(params);
  std::vector<double> p(params.data(), params.data() + count), pm(count), pv(count);
  const std::vector<float> before(params.data(), params.data() + count);

  for (int step = 1; step <= 3; step++) {
    random.fill(grads, 0.1f);
    norm[0] = options.norm;
    scalars[0] = static_cast<float>(1 - std::pow(beta1, step));
    scalars[1] = static_cast<float>(1 - std::pow(beta2, step));
    for (int group = 0; group < 2; group++) scalars[2 + group] = static_cast<float>(rates[group]);
    launch_adamw({3, piece.data(), beta1, beta2, eps, options.max_norm, params.data(),
                  grads.data(), m.data(), v.data(), norm.data(), scalars.data(),
                  options.shadow ? shadow.data() : nullptr},
                 Stream());
    for (int i = 0; i < 3; i++) {
      for (int64_t at = pieces[i].start; at < pieces[i].start + pieces[i].count; at++) {
        const double clip = options.max_norm > 0 ? std::min(1.0, options.max_norm / (options.norm + 1e-6)) : 1;
        const double gradient = grads[at] * clip, rate = rates[pieces[i].group];
        pm[at] = beta1 * pm[at] + (1 - beta1) * gradient;
        pv[at] = beta2 * pv[at] + (1 - beta2) * gradient * gradient;
        const double mean = pm[at] / (1 - std::pow(beta1, step)), square = pv[at] / (1 - std::pow(beta2, step));
        p[at] = p[at] * (1 - rate * pieces[i].weight_decay) - rate * mean / (std::sqrt(square) + eps);
      }
    }
  }

  Errors errors;
  int changed = 0, wrong_shadows = 0;
  for (size_t i = 0; i < count; i++) {
    changed += params[i] != before[i] || m[i] != 0 || v[i] != 0;
    const bool used = i < 300 || i >= 320;
    if (used && std::isfinite(options.norm)) {
      errors.add(params[i], p[i], 1e-3 * 0x1p-17);  // 3 steps of at most about the learning rate, to f32
      errors.add(m[i], pm[i], 0.1 * 0x1p-22);
      errors.add(v[i], pv[i], 0.001 * 0.01 * 0x1p-20);
    }
    const bool shadowed = used && options.shadow && std::isfinite(options.norm);
    const uint16_t expected = shadowed ? from_float<bf16>(params[i]).bits : 0;
    wrong_shadows += shadow[i].bits != expected;
  }
  line.number("error", errors.worst()).number("changed", changed).number("wrongShadows", wrong_shadows);
  line.raw("counters", counters_of("adamw"));
}

}  // namespace
}  // namespace lorikeet::cuda_sim::test

int main() {
  using namespace lorikeet::cuda_sim::test;
  const auto test = [](const char* name, const Options& options) {
    check(name, lorikeet::sim::Mode::strict, [&](Json& line) { run(line, options); });
  };
  test("plain", {0, 5.0f, true});
  test("clipped", {1.0, 2.5f, true});
  test("below the limit, no shadow", {1.0, 0.5f, false});
  test("infinite norm", {1.0, INFINITY, true});
  test("norm is no number", {1.0, NAN, true});
}
