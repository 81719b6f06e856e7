// Runs attention on a problem and compares it with softmax in double.
#pragma once

#include "cuda/attention/attention.h"
#include "reference.h"

namespace lorikeet::cuda_sim::test {

struct Worst {
  double o = 0, lse = 0;
};

// The largest errors of o and lse in units of what they may be.
template <typename T>
Worst forward(const AttentionShape& s, const Rounding& rounding, void (*launch)(const Attention<T>&, Stream)) {
  const AttentionInputs<T> in(s);
  const int o_stride = s.width() + s.padding;
  DeviceArray<T> o("o", static_cast<size_t>(s.batch) * s.queries * o_stride);
  DeviceArray<float> lse("lse", static_cast<size_t>(s.batch) * s.heads * s.queries);
  Attention<T> problem;
  problem.batch = s.batch, problem.heads = s.heads, problem.head_size = s.head_size;
  problem.queries = s.queries, problem.keys = s.keys, problem.causal = s.causal, problem.scale = s.scale();
  problem.q = {in.q(), in.q_stride}, problem.k = {in.k(), in.k_stride}, problem.v = {in.v(), in.k_stride};
  problem.o = {o.data(), o_stride}, problem.lse = lse.data();
  launch(problem, Stream());

  Worst worst;
  const auto compare = [](double& largest, double got, double expected, double allowed) {
    const double error = std::fabs(got - expected) / allowed;
    if (!(error <= largest)) largest = error == error ? error : INFINITY;
  };
  for (int sample = 0; sample < s.batch; sample++) {
    for (int query = 0; query < s.queries; query++) {
      const size_t start = (static_cast<size_t>(sample) * s.queries + query) * o_stride;
      for (int head = 0; head < s.heads; head++) {
        const ReferenceRow row = reference_row(in, sample, head, query);
        compare(worst.lse, lse[(static_cast<size_t>(sample) * s.heads + head) * s.queries + query], row.lse,
                row.rounding * rounding.sums + std::fabs(row.lse) * 0x1p-23);
        for (int d = 0; d < s.head_size; d++) {
          double sum = 0, size = 0;
          for (size_t key = 0; key < row.p.size(); key++) {
            const size_t at = (static_cast<size_t>(sample) * s.keys + key) * in.k_stride + head * s.head_size + d;
            sum += row.p[key] * to_float(in.v()[at]);
            size += row.p[key] * std::fabs(to_float(in.v()[at]));
          }
          compare(worst.o, to_float(o[start + head * s.head_size + d]), sum,
                  std::fabs(sum) * rounding.result + size * (rounding.probability + 2 * row.rounding * rounding.sums));
        }
      }
      for (int c = s.width(); c < o_stride; c++) {
        if (to_float(o[start + c]) != 0) worst.o = INFINITY;  // written beside the row
      }
    }
  }
  return worst;
}

}  // namespace lorikeet::cuda_sim::test
