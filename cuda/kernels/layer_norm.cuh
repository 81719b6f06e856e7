// What layer_norm and its gradient share: a block spans a row, and a thread keeps to four columns of all rows of its
// block, so that gamma and beta are loaded once for them. Four columns are 16 bytes of f32: lanes ask for whole sectors
// of those as of x.
#pragma once

#include "../launch.cuh"
#include "../numeric.cuh"
#include "../reduce.cuh"

namespace LORIKEET_CUDA {
namespace layer_norm {

constexpr int kWidth = 4;         // columns of a thread
constexpr int kRows = 4;          // that a block has in registers at once
constexpr int kMaxThreads = 768;  // of a block: rows of up to 3072 columns, as Flux has
constexpr int kMaxColumns = kMaxThreads * kWidth;

// Room for the sums of kCount numbers of each warp.
template <int kCount>
constexpr int kStage = kMaxThreads / 32 * kCount;

// The sums over all threads of kCount numbers, the same in each. `stage` is a part of shared memory that nobody has
// used since the barrier before the last.
template <int kCount>
__device__ __forceinline__ void block_sums(float (&values)[kCount], Shared<float> stage) {
  static_assert(kCount % 4 == 0, "reads of four");
  const int lane = static_cast<int>(threadIdx.x) % 32, warp = static_cast<int>(threadIdx.x) / 32;
  LORIKEET_UNROLL for (int i = 0; i < kCount; i++) {
    const float sum = warp_sum(values[i]);
    if (lane == 0) store(stage, warp * kCount + i, sum);
    values[i] = 0.0f;
  }
  sync_block();
  for (int other = 0; other < static_cast<int>(blockDim.x) / 32; other++) {
    LORIKEET_UNROLL for (int i = 0; i < kCount; i += 4) {
      const Vector<float, 4> four = load_vector<4>(stage, other * kCount + i);
      LORIKEET_UNROLL for (int e = 0; e < 4; e++) values[i + e] += four[e];
    }
  }
}

// Without gamma or beta (blocks of the DiT family) what a norm of ones and zeros gives.
__device__ __forceinline__ Vector<float, 4> load_parameters(Global<const float> from, int column, float absent) {
  return from ? load_vector<4>(from, column) : Vector<float, 4>{{absent, absent, absent, absent}};
}

inline LaunchShape shape_for(int columns, unsigned blocks) {
  LaunchShape shape;
  shape.grid = dim3(blocks);
  shape.block = dim3(blocks_for(columns, 32 * kWidth) * 32);
  return shape;
}

}  // namespace layer_norm
}  // namespace LORIKEET_CUDA
