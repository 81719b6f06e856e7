// Attention in the emulator's strict mode against softmax in double: every head size, packed and separate tensors, odd
// lengths, causal.
#include "forward.h"

namespace lorikeet::cuda_sim::test {
namespace {

void all() {
  const auto test = [](const char* name, const AttentionShape& shape) {
    check(name, sim::Mode::strict, [&](Json& line) {
      const Worst worst = forward<bf16>(shape, kTensorCores, &launch_attention);
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

  const auto refuse = [](const char* name, const std::function<void(Attention<bf16>&)>& spoil) {
    check(name, sim::Mode::fast, [&](Json& line) {
      Attention<bf16> problem;
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
  refuse("wide head", [](Attention<bf16>& p) { p.head_size = 168; });
  refuse("odd head", [](Attention<bf16>& p) { p.head_size = 20; });
  refuse("no keys", [](Attention<bf16>& p) { p.keys = 0; });
  refuse("no scale", [](Attention<bf16>& p) { p.scale = 0; });
  refuse("crooked rows", [](Attention<bf16>& p) { p.v.stride = 196; });
}

}  // namespace
}  // namespace lorikeet::cuda_sim::test

int main() { lorikeet::cuda_sim::test::all(); }
