// The backward pass of attention in the emulator's strict mode against the same in double.
#include "backward.h"

namespace lorikeet::cuda_sim::test {
namespace {

void all() {
  const auto test = [](const char* name, const AttentionShape& shape, const Wanted& wanted = {}) {
    check(name, sim::Mode::strict, [&](Json& line) {
      line.number("error", backward<bf16>(shape, wanted, kTensorCores, &launch_attention_backward,
                                          &attention_backward_sums));
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
  test("parts, head of 40", {1, 2, 40, 200, 33, false, false});
  test("parts, head of 64", {2, 1, 64, 160, 20, false, false});
  test("parts, head of 80, rows apart", {1, 1, 80, 140, 70, false, false, 8});
  test("keys and values only", {1, 1, 40, 20, 30, false, false}, {false, true});
  test("queries only", {1, 1, 40, 20, 30, false, false}, {true, false});
}

}  // namespace
}  // namespace lorikeet::cuda_sim::test

int main() { lorikeet::cuda_sim::test::all(); }
