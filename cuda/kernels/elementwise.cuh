// Kernels that do the same to every element. `Work` holds the operands; its run<kWidth>(i) does elements i to
// i + kWidth, of which one access moves at most 16 bytes.
#pragma once

#include <algorithm>

#include "../launch.cuh"
#include "../numeric.cuh"

namespace LORIKEET_CUDA {

constexpr int kElementThreads = 256;

// kWidth elements a thread, the last ones one by one.
template <int kWidth, class Work>
__global__ void __launch_bounds__(kElementThreads) elementwise_kernel(Work work, int64_t count) {
  const int64_t i = (static_cast<int64_t>(blockIdx.x) * kElementThreads + threadIdx.x) * kWidth;
  if (i + kWidth <= count) {
    work.template run<kWidth>(i);
  } else {
    for (int64_t rest = i; rest < count; rest++) work.template run<1>(rest);
  }
}

// `wide`: whether operands, and rows if the work knows any, start at multiples of kWidth elements; else it is done by
// single elements.
template <int kWidth, class Work>
void launch_elementwise(const char* name, const Work& work, int64_t count, bool wide, Stream stream) {
  if (count == 0) return;
  LaunchShape shape;
  shape.grid = dim3(blocks_for(count, kElementThreads * (wide ? kWidth : 1)));
  shape.block = dim3(kElementThreads);
  if (wide) {
    launch(name, &elementwise_kernel<kWidth, Work>, shape, stream, work, count);
  } else {
    launch(name, &elementwise_kernel<1, Work>, shape, stream, work, count);
  }
}

// Of f32 and a compute dtype together, as many as one access of f32 moves.
constexpr int kPerFloats = kPerAccess<float>;

// make(uint16_t{}) or make(uint32_t{}): elements that are only moved, so that their size is all that counts.
template <typename Make>
auto by_size(int64_t bytes, const Make& make) {
  return bytes == 2 ? make(uint16_t{}) : make(uint32_t{});
}

}  // namespace LORIKEET_CUDA
