// Runs the backward pass of attention on a problem and compares it with the same in double.
#pragma once

#include "cuda/attention/attention_backward.h"
#include "reference.h"

namespace lorikeet::cuda_sim::test {

// A sum in double, with what rounding may make of it.
struct Sum {
  double value = 0, allowed = 0;
  void add(double term, double error) { value += term, allowed += error; }
};

struct Wanted {
  bool dq = true, dkv = true;
};

// The largest error of all gradients in units of what it may be: what rounding makes of p and ds, and of the result;
// beside that sums in f32 lose 2^-24 a term.
template <typename T>
double backward(const AttentionShape& s, const Wanted& wanted, const Rounding& rounding,
                void (*launch)(const AttentionBackward<T>&, Stream),
                int64_t (*sums_of)(const AttentionBackward<T>&) = nullptr) {
  const AttentionInputs<T> in(s);
  const int o_stride = s.width() + s.padding, rows = s.batch * s.queries;
  DeviceArray<T> o("o", static_cast<size_t>(rows) * o_stride, sim::Rights::read);
  DeviceArray<T> d_o("do", static_cast<size_t>(rows) * o_stride, sim::Rights::read);
  DeviceArray<float> lse("lse", static_cast<size_t>(s.batch) * s.heads * s.queries, sim::Rights::read);
  DeviceArray<float> delta("delta", lse.count());
  DeviceArray<T> d_first("dq", in.first.count()), d_second("dkv", in.second.count());
  Random(5).fill(d_o);
  T* dk = s.self ? d_first.data() + s.width() : d_second.data();

  // p of each head, from which o and lse follow.
  std::vector<std::vector<ReferenceRow>> heads(s.batch * s.heads);
  const auto q_at = [&](int i, int row, int d) {
    return static_cast<size_t>(i / s.heads * s.queries + row) * in.q_stride + i % s.heads * s.head_size + d;
  };
  const auto k_at = [&](int i, int row, int d) {
    return static_cast<size_t>(i / s.heads * s.keys + row) * in.k_stride + i % s.heads * s.head_size + d;
  };
  const auto o_at = [&](int i, int row, int d) {
    return static_cast<size_t>(i / s.heads * s.queries + row) * o_stride + i % s.heads * s.head_size + d;
  };
  const auto value = [](const T& x) { return static_cast<double>(to_float(x)); };
  for (int i = 0; i < s.batch * s.heads; i++) {
    for (int query = 0; query < s.queries; query++) {
      heads[i].push_back(reference_row(in, i / s.heads, i % s.heads, query));
      const ReferenceRow& row = heads[i].back();
      lse[i * s.queries + query] = static_cast<float>(row.lse);
      for (int d = 0; d < s.head_size; d++) {
        double sum = 0;
        for (size_t key = 0; key < row.p.size(); key++) sum += row.p[key] * value(in.v()[k_at(i, key, d)]);
        o[o_at(i, query, d)] = from_float<T>(static_cast<float>(sum));
      }
    }
  }

  AttentionBackward<T> problem;
  problem.batch = s.batch, problem.heads = s.heads, problem.head_size = s.head_size;
  problem.queries = s.queries, problem.keys = s.keys, problem.causal = s.causal, problem.scale = s.scale();
  problem.q = {in.q(), in.q_stride}, problem.k = {in.k(), in.k_stride}, problem.v = {in.v(), in.k_stride};
  problem.o = {o.data(), o_stride}, problem.d_o = {d_o.data(), o_stride};
  problem.lse = lse.data(), problem.delta = delta.data();
  DeviceArray<float> sums("sums", sums_of ? sums_of(problem) : 0);
  std::fill(sums.data(), sums.data() + sums.count(), NAN);
  problem.sums = sums.data();
  if (wanted.dq) problem.dq = {d_first.data(), in.q_stride};
  if (wanted.dkv) problem.dk = {dk, in.k_stride}, problem.dv = {dk + s.width(), in.k_stride};
  launch(problem, Stream());

  double worst = 0;
  const auto compare = [&](const T& got, const Sum& expected) {
    const double error = std::fabs(value(got) - expected.value);
    const double allowed = expected.allowed + std::fabs(expected.value) * rounding.result;
    if (!(error <= worst * allowed)) worst = error == error ? error / allowed : INFINITY;
  };
  for (int i = 0; i < s.batch * s.heads; i++) {
    std::vector<Sum> dq(s.queries * s.head_size), dk_sums(s.keys * s.head_size), dv(s.keys * s.head_size);
    for (int query = 0; query < s.queries; query++) {
      const ReferenceRow& row = heads[i][query];
      // What an error of the score and of the log-sum-exp, itself rounded to f32, makes of p, and rounding of it.
      const double relative = rounding.probability + std::fabs(row.lse) * 0x1p-23 +
                              (row.rounding + s.queries * 0x1p-24) * rounding.sums;
      for (size_t key = 0; key < row.p.size(); key++) {
        double d_p = 0, size = 0;
        for (int d = 0; d < s.head_size; d++) {
          const double d_o_here = value(d_o[o_at(i, query, d)]);
          const double with_v = d_o_here * value(in.v()[k_at(i, key, d)]);
          const double with_o = d_o_here * value(o[o_at(i, query, d)]);
          d_p += with_v - with_o, size += std::fabs(with_v) + std::fabs(with_o);
        }
        const double p = row.p[key], ds = p * d_p;
        const double ds_error = std::fabs(ds) * relative + p * size * s.head_size * 0x1p-24 * rounding.sums;
        for (int d = 0; d < s.head_size; d++) {
          const double q = value(in.q()[q_at(i, query, d)]) * s.scale();
          const double k = value(in.k()[k_at(i, key, d)]) * s.scale();
          const double d_o_here = value(d_o[o_at(i, query, d)]);
          dq[query * s.head_size + d].add(ds * k, ds_error * std::fabs(k));
          dk_sums[key * s.head_size + d].add(ds * q, ds_error * std::fabs(q));
          dv[key * s.head_size + d].add(p * d_o_here, p * std::fabs(d_o_here) * relative);
        }
      }
    }
    for (int d = 0; d < s.head_size; d++) {
      for (int row = 0; row < s.queries && wanted.dq; row++) {
        compare(d_first[q_at(i, row, d)], dq[row * s.head_size + d]);
      }
      for (int row = 0; row < s.keys && wanted.dkv; row++) {
        compare(dk[k_at(i, row, d)], dk_sums[row * s.head_size + d]);
        compare(dk[s.width() + k_at(i, row, d)], dv[row * s.head_size + d]);
      }
    }
  }
  return worst;
}

}  // namespace lorikeet::cuda_sim::test
