// The tile of one product of an op, as it is measured.
#pragma once

#include <string>

#include "../op.h"
#include "tile_choice.h"

namespace LORIKEET_CUDA {

// "matmul bf16 m4096 n320 k320"
inline std::string product_words(const char* kernel, DType dtype, int64_t m, int64_t n, int64_t k) {
  return std::string(kernel) + " " + name_of(dtype) + " m" + std::to_string(m) + " n" + std::to_string(n) + " k" +
         std::to_string(k);
}

// "+8" for a segment of the reduction over all n columns, "+8*320" for one over 320 of them.
inline std::string segment_words(int64_t k, int64_t columns, int64_t n) {
  return "+" + std::to_string(k) + (columns == n ? "" : "*" + std::to_string(columns));
}

class TunedTile {
 public:
  // `problem`: what the time depends on, in words; the output is [m, n].
  TunedTile(const CudaRequest& request, const std::string& problem, DType dtype, int64_t m, int64_t n)
      : TunedTile(request, problem, dtype, choose_tile(dtype, m, n, request.multiprocessors)) {}

  // `fallback`: an index of tiles_of().
  TunedTile(const CudaRequest& request, const std::string& problem, DType dtype, int fallback)
      : tiles_(&tiles_of(dtype)) {
    std::vector<std::string> names;
    for (const TileChoice tile : *tiles_) names.push_back(name_of(tile));
    choice_ = &request.tuner.choice(problem, names, fallback);
  }

  // start(a tile), which must write results and add to none.
  template <class Start>
  void launch(const LaunchContext& context, const Start& start) const {
    context.launch_chosen(*choice_, [&](int i) { start((*tiles_)[i]); });
  }

 private:
  const std::vector<TileChoice>* tiles_;
  Choice* choice_;
};

}  // namespace LORIKEET_CUDA
