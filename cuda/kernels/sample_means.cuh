// The last stage of a loss: the mean of each sample, and the mean of these.
#pragma once

#include "sums.cuh"

namespace LORIKEET_CUDA {
namespace {

// Elements that a block sums.
constexpr int kSamplePart = 4096;

int64_t sample_parts(int64_t elements) { return blocks_for(elements, kSamplePart); }

struct SampleMeans {
  int64_t batch, elements;
  const double* sums;   // [batch, sample_parts(elements)]
  const float* weight;  // [batch], or null
  float* per_sample;    // [batch]
  float* total;         // [1]
};

// One block. `weight` of each sample, if any, multiplies its mean.
__global__ void __launch_bounds__(kSumThreads)
    sample_means_kernel(Global<const double> sums, Global<const float> weight, Global<float> per_sample,
                        Global<float> total, int64_t batch, int64_t parts, double elements) {
  double all = 0.0;
  for (int64_t n = 0; n < batch; n++) {
    const double sum = sum_of_parts(sums, n * parts, parts);
    if (threadIdx.x > 0) continue;
    const double mean = sum * ((weight ? load(weight, n) : 1.0) / elements);
    store(per_sample, n, static_cast<float>(mean));
    all += mean;
  }
  if (threadIdx.x == 0) store(total, 0, static_cast<float>(all / static_cast<double>(batch)));
}

void launch_sample_means(const SampleMeans& p, Stream stream) {
  LaunchShape shape;
  shape.grid = dim3(1);
  shape.block = dim3(kSumThreads);
  launch("sample_means", &sample_means_kernel, shape, stream, p.sums, p.weight, p.per_sample, p.total, p.batch,
         sample_parts(p.elements), static_cast<double>(p.elements));
}

}  // namespace
}  // namespace LORIKEET_CUDA
