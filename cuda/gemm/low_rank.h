// The adapters of a product as segments of its reduction.
#pragma once

#include <stdexcept>
#include <vector>

#include "main_loop.cuh"

namespace LORIKEET_CUDA {

// One adapter's contribution to some columns of y.
struct LowRankUp {
  const bf16* h;  // [m, rank]
  int64_t h_stride;
  const bf16* up;  // [columns, rank], or [rank, columns] with n contiguous
  int64_t up_stride;
  int rank;
  int column, columns;
  float scale;
};

// Whether every row starts at a multiple of 16 bytes.
inline bool aligned(const void* pointer, int64_t stride) {
  return reinterpret_cast<uintptr_t>(pointer) % 16 == 0 && stride % 8 == 0;
}

inline bool ups_aligned(const std::vector<LowRankUp>& ups) {
  bool all = true;
  for (const LowRankUp& u : ups) {
    all &= aligned(u.h, u.h_stride) && aligned(u.up, u.up_stride) && u.column % 8 == 0;
  }
  return all;
}

// Throws std::invalid_argument when the product's own segment would no longer fit.
inline void add_segment_of_adapter(const Segment& segment, Segments& segments) {
  if (segment.k == 0 || segment.columns == 0 || segment.scale == 0.0f) return;
  if (segments.count + 1 >= kMaxSegments) throw std::invalid_argument("matmul: too many adapters on one layer");
  segments.at[segments.count++] = segment;
}

inline void add_ups(const std::vector<LowRankUp>& ups, Segments& segments) {
  for (const LowRankUp& u : ups) {
    add_segment_of_adapter({u.h, u.up, u.h_stride, u.up_stride, u.rank, u.column, u.columns, u.scale, Divider{}},
                           segments);
  }
}

}  // namespace LORIKEET_CUDA
