// The gradients of gamma and beta of a norm: blocks of rows leave their sums, and these are added up in their order.
#pragma once

#include "../launch.cuh"
#include "../memory.cuh"
#include "../threads.cuh"

namespace LORIKEET_CUDA {
namespace {

constexpr int kSumColumns = 32, kSumLanes = 8;

// partial [blocks, 2, columns]: of gamma, then of beta. A lane takes every kSumLanes-th block.
__global__ void __launch_bounds__(kSumColumns* kSumLanes)
    norm_gradients_kernel(Global<const float> partial, Global<float> dgamma, Global<float> dbeta, int blocks,
                          int columns) {
  const int lane = static_cast<int>(threadIdx.x) / kSumColumns, own = static_cast<int>(threadIdx.x) % kSumColumns;
  const int column = static_cast<int>(blockIdx.x) * kSumColumns + own;
  const Global<float> gradient = blockIdx.y == 0 ? dgamma : dbeta;
  if (!gradient) return;
  LORIKEET_SHARED_ARRAY(float, sums, kSumColumns* kSumLanes);
  float sum = 0.0f;
  if (column < columns) {
    for (int block = lane; block < blocks; block += kSumLanes) {
      sum += load(partial, (static_cast<int64_t>(block) * 2 + blockIdx.y) * columns + column);
    }
  }
  store(sums, static_cast<int>(threadIdx.x), sum);
  sync_block();
  if (lane > 0 || column >= columns) return;
  for (int other = 1; other < kSumLanes; other++) sum += load(sums, other * kSumColumns + own);
  store(gradient, column, load(gradient, column) + sum);
}

// Adds to dgamma and dbeta, of which either may be null.
void launch_norm_gradients(const float* partial, float* dgamma, float* dbeta, int64_t blocks, int columns,
                           Stream stream) {
  LaunchShape shape;
  shape.grid = dim3(blocks_for(columns, kSumColumns), 2);
  shape.block = dim3(kSumColumns * kSumLanes);
  launch("norm_gradients", &norm_gradients_kernel, shape, stream, partial, dgamma, dbeta, static_cast<int>(blocks),
         columns);
}

}  // namespace
}  // namespace LORIKEET_CUDA
