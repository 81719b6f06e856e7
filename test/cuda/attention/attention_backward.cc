// The backward pass of attention in the emulator's strict mode against the same in double.
#include "cuda/attention/attention_backward.h"

#include "reference.h"

namespace lorikeet::cuda_sim::test {
namespace {

// A sum in double, with what rounding may make of it.
struct Sum {
  double value = 0, allowed = 0;
  void add(double term, double error) { value += term, allowed += error; }
};

// The largest error of all gradients in units of what it may be. p and ds are rounded to bf16 before their products,
// and the result once more: 2^-8 of what either adds up; beside that sums in f32 lose 2^-24 a term.
double run(const AttentionShape& s, bool wants_dq, bool wants_dkv) {
  const AttentionInputs in(s);
  const int o_stride = s.width() + s.padding, rows = s.batch * s.queries;
  DeviceArray<bf16> o("o", static_cast<size_t>(rows) * o_stride, sim::Rights::read);
  DeviceArray<bf16> d_o("do", static_cast<size_t>(rows) * o_stride, sim::Rights::read);
  DeviceArray<float> lse("lse", static_cast<size_t>(s.batch) * s.heads * s.queries, sim::Rights::read);
  DeviceArray<float> delta("delta", lse.count());
  DeviceArray<bf16> d_first("dq", in.first.count()), d_second("dkv", in.second.count());
  Random(5).fill(d_o);
  bf16* dk = s.self ? d_first.data() + s.width() : d_second.data();

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
  const auto value = [](const bf16& x) { return static_cast<double>(to_float(x)); };
  for (int i = 0; i < s.batch * s.heads; i++) {
    for (int query = 0; query < s.queries; query++) {
      heads[i].push_back(reference_row(in, i / s.heads, i % s.heads, query));
      const ReferenceRow& row = heads[i].back();
      lse[i * s.queries + query] = static_cast<float>(row.lse);
      for (int d = 0; d < s.head_size; d++) {
        double sum = 0;
        for (size_t key = 0; key < row.p.size(); key++) sum += row.p[key] * value(in.v()[k_at(i, key, d)]);
        o[o_at(i, query, d)] = from_float<bf16>(static_cast<float>(sum));
      }
    }
  }

  AttentionBackward problem;
  problem.batch = s.batch, problem.heads = s.heads, problem.head_size = s.head_size;
  problem.queries = s.queries, problem.keys = s.keys, problem.causal = s.causal, problem.scale = s.scale();
  problem.q = {in.q(), in.q_stride}, problem.k = {in.k(), in.k_stride}, problem.v = {in.v(), in.k_stride};
  problem.o = {o.data(), o_stride}, problem.d_o = {d_o.data(), o_stride};
  problem.lse = lse.data(), problem.delta = delta.data();
  if (wants_dq) problem.dq = {d_first.data(), in.q_stride};
  if (wants_dkv) problem.dk = {dk, in.k_stride}, problem.dv = {dk + s.width(), in.k_stride};
  launch_attention_backward(problem, Stream());

  double worst = 0;
  const auto compare = [&](const bf16& got, const Sum& expected) {
    const double error = std::fabs(value(got) - expected.value);
    const double allowed = expected.allowed + std::fabs(expected.value) * 0x1p-8;
    if (!(error <= worst * allowed)) worst = error == error ? error / allowed : INFINITY;
  };
  for (int i = 0; i < s.batch * s.heads; i++) {
    std::vector<Sum> dq(s.queries * s.head_size), dk_sums(s.keys * s.head_size), dv(s.keys * s.head_size);
    for (int query = 0; query < s.queries; query++) {
      const ReferenceRow& row = heads[i][query];
      // What an error of the score and of the log-sum-exp, itself rounded to f32, makes of p, and bf16 of it.
      const double relative = 0x1p-8 + row.rounding + std::fabs(row.lse) * 0x1p-23 + s.queries * 0x1p-24;
      for (size_t key = 0; key < row.p.size(); key++) {
        double d_p = 0, size = 0;
        for (int d = 0; d < s.head_size; d++) {
          const double d_o_here = value(d_o[o_at(i, query, d)]);
          const double with_v = d_o_here * value(in.v()[k_at(i, key, d)]);
          const double with_o = d_o_here * value(o[o_at(i, query, d)]);
          d_p += with_v - with_o, size += std::fabs(with_v) + std::fabs(with_o);
        }
        const double p = row.p[key], ds = p * d_p;
        const double ds_error = std::fabs(ds) * relative + p * size * s.head_size * 0x1p-24;
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
      for (int row = 0; row < s.queries && wants_dq; row++) {
        compare(d_first[q_at(i, row, d)], dq[row * s.head_size + d]);
      }
      for (int row = 0; row < s.keys && wants_dkv; row++) {
        compare(dk[k_at(i, row, d)], dk_sums[row * s.head_size + d]);
        compare(dk[s.width() + k_at(i, row, d)], dv[row * s.head_size + d]);
      }
    }
  }
  return worst;
}

void all() {
  const auto test = [](const char* name, const AttentionShape& shape, bool wants_dq = true, bool wants_dkv = true) {
    check(name, sim::Mode::strict, [&](Json& line) {
      line.number("error", run(shape, wants_dq, wants_dkv));
      for (const auto& [kernel, counters] : sim::Machine::current().counters()) {
        line.raw(kernel.c_str(), json_of(counters));
      }
    });
  };
  //                             batch heads size queries keys
  test("self, head of 40", {2, 2, 40, 70, 70});
  test("self, head of 64", {1, 2, 64, 67, 67});
  test("self, head of 80", {1, 1, 80, 51, 51});
  test("self, head of 128", {1, 1, 128, 67, 67});
  test("self, head of 160", {1, 2, 160, 35, 35});
  test("prompt, head of 40", {1, 2, 40, 131, 77, false, false});
  test("causal, head of 64", {1, 2, 64, 77, 77, true});
  test("causal, more keys than queries", {1, 1, 80, 40, 90, true, false});
  test("causal, fewer keys than queries", {1, 1, 48, 70, 33, true, false});
  test("whole tiles", {1, 2, 64, 128, 128});
  test("head of 56, rows apart", {1, 2, 56, 33, 45, false, false, 8});
  test("large scores", {1, 1, 64, 40, 70, false, false, 0, 120.0f});
  test("one query, one key", {1, 1, 8, 1, 1});
  test("keys and values only", {1, 1, 40, 20, 30, false, false}, false, true);
  test("queries only", {1, 1, 40, 20, 30, false, false}, true, false);
}

}  // namespace
}  // namespace lorikeet::cuda_sim::test

int main() { lorikeet::cuda_sim::test::all(); }
