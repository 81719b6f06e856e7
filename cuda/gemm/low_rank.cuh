// The adapters of a product as segments of its reduction.
#pragma once

#include <stdexcept>

#include "low_rank.h"
#include "main_loop.cuh"

namespace LORIKEET_CUDA {

// Throws std::invalid_argument when the product's own segment would no longer fit.
template <typename T>
void add_segment_of_adapter(const Segment<T>& segment, Segments<T>& segments) {
  if (segments.count + 1 >= kMaxSegments) throw std::invalid_argument("matmul: too many adapters on one layer");
  segments.at[segments.count++] = segment;
}

template <typename T>
void add_ups(const std::vector<LowRankUp<T>>& ups, BLayout layout, Segments<T>& segments) {
  for (const LowRankUp<T>& u : ups) {
    if (u.rank == 0 || u.columns == 0 || u.scale == 0.0f) continue;
    const bool in_chunks = layout == BLayout::k_contiguous || u.column % kPerAccess<T> == 0;
    const bool all = aligned(u.h, u.h_stride) && aligned(u.up, u.up_stride) && in_chunks;
    add_segment_of_adapter<T>(
        {u.h, u.up, u.h_stride, u.up_stride, u.rank, u.column, u.columns, u.scale, Divider{}, all}, segments);
  }
}

}  // namespace LORIKEET_CUDA
