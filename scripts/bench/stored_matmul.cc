// Products of few rows by a quantised weight, both ways: opening the weight on the way (cuda/gemm/stored_matmul.h), and
// dequantise with the best tile of launch_matmul after it. Each launch is counted in the emulator, a few blocks standing for
// all, and a roofline gives its time. Arguments: numbers of rows. Built and started by stored-matmul.ts.
#include "cuda/gemm/stored_matmul.h"

#include <algorithm>
#include <cstdio>
#include <cstdlib>

#include "cuda/dequantise.h"
#include "cuda/gemm/tile_choice.h"
#include "native/core/quantise.cc"
#include "native/core/tensor.cc"
#include "test/cuda/harness.h"

namespace lorikeet::cuda_sim::test {
namespace {

struct Layer {
  const char* name;
  int64_t outputs, inputs;
};
constexpr Layer kLayers[] = {
    {"SD 1.5 k, v 320", 640, 768},    {"SD 1.5 k, v 1280", 2560, 768}, {"SD 1.5 mid q, k, v", 3840, 1280},
    {"SD 1.5 mid ff in", 10240, 1280}, {"SD 1.5 mid ff out", 1280, 5120}, {"SDXL k, v 640", 1280, 2048},
    {"SDXL k, v 1280", 2560, 2048},   {"CLIP-L fc1", 3072, 768},        {"CLIP-L out", 768, 768},
    {"Flux modulation", 18432, 3072}};
constexpr const char* kCards[] = {"RTX 3060 12GB", "RTX 4070", "RTX 4090"};

// Of the one launch that act() makes.
template <class Act>
sim::Counters counted(const Act& act) {
  sim::Machine machine(sim::Mode::sampled);
  const sim::Machine::Use use(machine);
  act();
  return machine.counters().begin()->second;
}

void compare(int rows, const Layer& layer, Storage storage, BLayout layout) {
  const bool transposed = layout == BLayout::n_contiguous;
  const Shape shape{layer.outputs, layer.inputs};
  const int n = static_cast<int>(transposed ? layer.inputs : layer.outputs);
  const int k = static_cast<int>(transposed ? layer.outputs : layer.inputs);
  // act(the product without its weight, the weight as it is stored, a place for the opened one)
  const auto launched = [&](const auto& act) {
    return counted([&] {
      constexpr int kRank = 16;
      DeviceArray<bf16> x("x", static_cast<size_t>(rows) * k), y("y", static_cast<size_t>(rows) * n);
      DeviceArray<bf16> w("w", static_cast<size_t>(n) * k), h("h", rows * kRank), up("up", n * kRank);
      DeviceArray<uint32_t> stored("stored", static_cast<size_t>(stored_layout(storage, shape).bytes / 4));
      DeviceArray<float> bias("bias", n);
      const int w_stride = static_cast<int>(layer.inputs);
      Matmul<bf16> product{rows, n, k, x.data(), k, w.data(), w_stride, layout, bias.data(), y.data(), n, {}};
      product.ups.push_back({h.data(), kRank, up.data(), transposed ? n : kRank, kRank, 0, n, 1.0f});
      act(product, stored.data(), w.data());
    });
  };
  const sim::Counters fused = launched([&](const Matmul<bf16>& product, const uint32_t* stored, bf16*) {
    launch_stored_matmul(product, {stored, storage, shape}, Stream());
  });
  const sim::Counters opening = launched([&](const Matmul<bf16>&, const uint32_t* stored, bf16* w) {
    launch_dequantise<bf16>(stored, storage, shape, w, Stream());
  });
  std::vector<sim::Counters> tiles;
  for (const TileChoice tile : tiles_of(DType::bf16)) {
    tiles.push_back(launched([&](const Matmul<bf16>& product, const uint32_t*, bf16*) {
      launch_matmul(product, tile, Stream());
    }));
  }
  std::printf("%5d  %-8s %-18s %-5s", rows, transposed ? "gradient" : "forward", layer.name, name_of(storage));
  for (const sim::Card& card : sim::cards()) {
    if (std::find(std::begin(kCards), std::end(kCards), std::string(card.name)) == std::end(kCards)) continue;
    double best = 1e30;
    for (const sim::Counters& tile : tiles) best = std::min(best, sim::roofline(tile, card).microseconds);
    const double one = sim::roofline(fused, card).microseconds;
    const double two = sim::roofline(opening, card).microseconds + best;
    std::printf("   %7.1f / %7.1f = %4.2f", one, two, one / two);
  }
  std::printf("   %5.3f %5.3f\n", fused.sector_factor(), fused.conflict_factor());
}

}  // namespace
}  // namespace lorikeet::cuda_sim::test

int main(int count, char** arguments) {
  using namespace lorikeet;
  using namespace lorikeet::cuda_sim;
  std::printf(" rows  %-8s %-18s %-5s", "", "layer", "");
  for (const char* card : test::kCards) std::printf("   %24s", card);
  std::printf("   sectors, bank conflicts\n");
  for (int i = 1; i < count; i++) {
    for (const BLayout layout : {BLayout::k_contiguous, BLayout::n_contiguous}) {
      for (const test::Layer& layer : test::kLayers) {
        for (const Storage storage : {Storage::nf4, Storage::int8, Storage::fp8}) {
          test::compare(std::atoi(arguments[i]), layer, storage, layout);
        }
      }
    }
  }
}
