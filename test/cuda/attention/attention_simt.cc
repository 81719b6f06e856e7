// Attention on the ordinary units in the emulator's strict mode against softmax in double: head sizes that nothing
// divides, one of several groups of columns, rows that start anywhere.
#include "forward.h"

namespace lorikeet::cuda_sim::test {
namespace {

template <typename T>
void all(const char* dtype) {
  const auto test = [&](const char* name, const AttentionShape& shape) {
    check((std::string(dtype) + " " + name).c_str(), sim::Mode::strict, [&](Json& line) {
      const Worst worst = forward<T>(shape, kSimt<T>, &launch_attention_simt<T>);
      line.number("error", worst.o).number("lseError", worst.lse);
      line.raw("counters", json_of(sim::Machine::current().counters().at("attention_simt")));
    });
  };
  //                             batch heads size queries keys
  test("self, head of 40", {2, 2, 40, 70, 70});
  test("self, head of 33", {1, 2, 33, 35, 35});
  test("prompt, head of 80", {1, 2, 80, 40, 77, false, false});
  test("prompt, head of 7", {2, 1, 7, 40, 77, false, false});
  test("causal, head of 160", {1, 1, 160, 70, 70, true});
  test("causal, more keys than queries", {1, 1, 64, 20, 90, true, false});
  test("causal, fewer keys than queries", {1, 1, 72, 70, 33, true, false});
  test("head of 512", {1, 1, 512, 33, 40, false, false});
  test("head of 524", {1, 1, 524, 9, 33, false, false});
  test("whole tiles", {1, 2, 64, 64, 64});
  test("rows apart", {2, 2, 20, 33, 45, false, false, 3});
  test("large scores", {1, 1, 64, 40, 100, false, false, 0, 120.0f});
  test("one query, one key, one column", {1, 1, 1, 1, 1});
}

}  // namespace
}  // namespace lorikeet::cuda_sim::test

int main() {
  lorikeet::cuda_sim::test::all<float>("f32");
  lorikeet::cuda_sim::test::all<lorikeet::cuda_sim::bf16>("bf16");
}
