// Attention in the emulator's strict mode against softmax in double: every head size, packed and separate tensors, odd
// lengths, causal.
#include "cuda/attention/attention.h"

#include "reference.h"

namespace lorikeet::cuda_sim::test {
namespace {

struct Worst {
  double o = 0, lse = 0;
};

// The largest errors of o and lse in units of what they may be. Each probability is rounded to bf16 before it meets v,
// and the result once more: 2^-8 of what either adds up.
Worst run(const AttentionShape& s) {
  const AttentionInputs in(s);
  const int o_stride = s.width() + s.padding;
  DeviceArray<bf16> o("o", static_cast<size_t>(s.batch) * s.queries * o_stride);
  DeviceArray<float> lse("lse", static_cast<size_t>(s.batch) * s.heads * s.queries);
  Attention problem;
  problem.batch = s.batch, problem.heads = s.heads, problem.head_size = s.head_size;
  problem.queries = s.queries, problem.keys = s.keys, problem.causal = s.causal, problem.scale = s.scale();
  problem.q = {in.q(), in.q_stride}, problem.k = {in.k(), in.k_stride}, problem.v = {in.v(), in.k_stride};
  problem.o = {o.data(), o_stride}, problem.lse = lse.data();
  launch_attention(problem, Stream());

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
                row.rounding + std::fabs(row.lse) * 0x1p-23);
        for (int d = 0; d < s.head_size; d++) {
          double sum = 0, size = 0;
          for (size_t key = 0; key < row.p.size(); key++) {
            const size_t at = (static_cast<size_t>(sample) * s.keys + key) * in.k_stride + head * s.head_size + d;
            sum += row.p[key] * to_float(in.v()[at]);
            size += row.p[key] * std::fabs(to_float(in.v()[at]));
          }
          compare(worst.o, to_float(o[start + head * s.head_size + d]), sum,
                  (std::fabs(sum) + size) * 0x1p-8 + 2 * size * row.rounding);
        }
      }
      for (int c = s.width(); c < o_stride; c++) {
        if (o[start + c].bits != 0) worst.o = INFINITY;  // written beside the row
      }
    }
  }
  return worst;
}

void all() {
  const auto test = [](const char* name, const AttentionShape& shape) {
    check(name, sim::Mode::strict, [&](Json& line) {
      const Worst worst = run(shape);
      line.number("error", worst.o).number("lseError", worst.lse);
      line.raw("counters", json_of(sim::Machine::current().counters().at("attention")));
    });
  };
  //                             batch heads size queries keys
  test("self, head of 40", {2, 2, 40, 70, 70});
  test("self, head of 64", {1, 2, 64, 99, 99});
  test("self, head of 80", {1, 2, 80, 51, 51});
  test("self, head of 128", {1, 1, 128, 67, 67});
  test("self, head of 160", {1, 2, 160, 66, 66});
  test("prompt, head of 40", {2, 1, 40, 131, 77, false, false});
  test("prompt, head of 160", {1, 2, 160, 17, 77, false, false});
  test("causal, head of 64", {1, 2, 64, 77, 77, true});
  test("causal, head of 40", {1, 1, 40, 150, 150, true});
  test("causal, more keys than queries", {1, 1, 80, 40, 90, true, false});
  test("causal, fewer keys than queries", {1, 1, 128, 70, 33, true, false});
  test("whole tiles", {1, 2, 64, 128, 128});
  test("head of 8", {1, 3, 8, 20, 20});
  test("head of 56, rows apart", {2, 2, 56, 33, 45, false, false, 8});
  test("large scores", {1, 1, 64, 40, 100, false, false, 0, 120.0f});
  test("one query, one key", {1, 1, 48, 1, 1});

  const auto refuse = [](const char* name, const std::function<void(Attention&)>& spoil) {
    check(name, sim::Mode::fast, [&](Json& line) {
      Attention problem;
      problem.batch = problem.heads = problem.queries = problem.keys = 1;
      problem.head_size = 64;
      spoil(problem);
      try {
        launch_attention(problem, Stream());
      } catch (const std::invalid_argument& error) {
        line.text("refused", error.what());
      }
    });
  };
  refuse("wide head", [](Attention& p) { p.head_size = 168; });
  refuse("odd head", [](Attention& p) { p.head_size = 20; });
  refuse("no keys", [](Attention& p) { p.keys = 0; });
  refuse("no scale", [](Attention& p) { p.scale = 0; });
  refuse("crooked rows", [](Attention& p) { p.v.stride = 196; });
}

}  // namespace
}  // namespace lorikeet::cuda_sim::test

int main() { lorikeet::cuda_sim::test::all(); }
