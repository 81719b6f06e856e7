// Which tile the model of its cost chooses, by format, size of the output and card.
#include "cuda/gemm/tile_choice.h"

#include "../harness.h"

namespace lorikeet::cuda_sim::test {
namespace {

void all() {
  check("choice", sim::Mode::fast, [&](Json& line) {
    const auto choice = [&](const char* name, DType dtype, int64_t m, int64_t n, int multiprocessors) {
      line.text(name, name_of(tiles_of(dtype)[choose_tile(dtype, m, n, multiprocessors)]));
    };
    choice("large", DType::bf16, 4096, 1280, 28);
    choice("small", DType::bf16, 77, 320, 28);
    choice("middle", DType::bf16, 4096, 320, 28);
    choice("middleOnLargeCard", DType::bf16, 4096, 320, 128);
    choice("rank", DType::bf16, 4096, 16, 28);
    choice("largeF32", DType::f32, 4096, 1280, 28);
    choice("rankF32", DType::f32, 4096, 16, 28);
  });
}

}  // namespace
}  // namespace lorikeet::cuda_sim::test

int main() { lorikeet::cuda_sim::test::all(); }
