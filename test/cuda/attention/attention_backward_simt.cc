// The backward pass of attention on the ordinary units in the emulator's strict mode against the same in double.
#include "backward.h"

namespace lorikeet::cuda_sim::test {
namespace {

template <typename T>
void all(const char* dtype) {
  const auto test = [&](const char* name, const AttentionShape& shape, const Wanted& wanted = {}) {
    check((std::string(dtype) + " " + name).c_str(), sim::Mode::strict, [&](Json& line) {
      line.number("error", backward<T>(shape, wanted, kSimt<T>, &launch_attention_backward_simt<T>));
      for (const auto& [kernel, counters] : sim::Machine::current().counters()) {
        line.raw(kernel.c_str(), json_of(counters));
      }
    });
  };
  //                             batch heads size queries keys
  test("self, head of 40", {2, 2, 40, 50, 50});
  test("self, head of 33", {1, 2, 33, 35, 35});
  test("prompt, head of 80", {1, 2, 80, 40, 77, false, false});
  test("prompt, head of 7", {2, 1, 7, 40, 77, false, false});
  test("causal, head of 160", {1, 1, 160, 70, 70, true});
  test("causal, more keys than queries", {1, 1, 64, 20, 90, true, false});
  test("causal, fewer keys than queries", {1, 1, 72, 70, 33, true, false});
  test("head of 201", {1, 1, 201, 33, 20, false, false});
  test("whole tiles", {1, 2, 64, 64, 64});
  test("rows apart", {2, 2, 20, 33, 45, false, false, 3});
  test("large scores", {1, 1, 64, 40, 70, false, false, 0, 120.0f});
  test("one query, one key, one column", {1, 1, 1, 1, 1});
  test("keys and values only", {1, 1, 40, 20, 30, false, false}, {false, true});
  test("queries only", {1, 1, 40, 20, 30, false, false}, {true, false});
}

}  // namespace
}  // namespace lorikeet::cuda_sim::test

int main() {
  lorikeet::cuda_sim::test::all<float>("f32");
  lorikeet::cuda_sim::test::all<lorikeet::cuda_sim::bf16>("bf16");
}
