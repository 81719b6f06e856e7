// What the tests of attention share: problems in packed tensors, and the same in double, with the error that rounding
// may make.
#pragma once

#include "../harness.h"

namespace lorikeet::cuda_sim::test {

struct AttentionShape {
  int batch, heads, head_size, queries, keys;
  bool causal = false;
  bool self = true;        // one tensor [q | k | v]; otherwise q and [k | v]
  int padding = 0;         // elements between the rows of every tensor
  float amplitude = 4.0f;  // of the elements of q

  int width() const { return heads * head_size; }
  float scale() const { return 1.0f / std::sqrt(static_cast<float>(head_size)); }
};

// What rounding makes of a probability, or of its gradient, before the product that it enters, of a result, and of sums
// in f32, as a share of the worst that can be: where nothing else is rounded, the worst would hide too much.
struct Rounding {
  double probability, result, sums;
};

constexpr Rounding kTensorCores = {0x1p-8, 0x1p-8, 1};
template <typename T>
constexpr Rounding kSimt = {0x1p-22, sizeof(T) == 2 ? 0x1p-8 : 0x1p-22, 0x1p-5};

// Where q, k and v lie, as offsets in elements of one or two tensors.
template <typename T>
struct AttentionInputs {
  explicit AttentionInputs(const AttentionShape& s)
      : shape(s),
        q_stride((s.self ? 3 : 1) * s.width() + s.padding),
        k_stride((s.self ? 3 : 2) * s.width() + s.padding),
        first("q", static_cast<size_t>(s.batch) * s.queries * q_stride, sim::Rights::read),
        second("kv", s.self ? 0 : static_cast<size_t>(s.batch) * s.keys * k_stride, sim::Rights::read) {
    Random random(s.head_size * 131 + s.queries * 7 + s.keys);
    random.fill(first), random.fill(second);
    for (int row = 0; row < s.batch * s.queries; row++) {
      for (int c = 0; c < s.width(); c++) {
        T& x = first[static_cast<size_t>(row) * q_stride + c];
        x = from_float<T>(to_float(x) * s.amplitude);
      }
    }
  }
  const T* q() const { return first.data(); }
  const T* k() const { return shape.self ? first.data() + shape.width() : second.data(); }
  const T* v() const { return k() + shape.width(); }

  AttentionShape shape;
  int q_stride, k_stride;
  DeviceArray<T> first, second;
};

// One query of one head: its probabilities, and a bound of what sums in f32 may add to a score, and to the logarithm of
// the sum of their exponentials: a rounding of 2^-24 for each term, of the size that the terms have.
struct ReferenceRow {
  std::vector<double> p;
  double lse, rounding;
};

template <typename T>
ReferenceRow reference_row(const AttentionInputs<T>& in, int sample, int head, int query) {
  const AttentionShape& s = in.shape;
  const int seen = s.causal ? std::min(s.keys, query + 1) : s.keys;
  const T* q = in.q() + (static_cast<size_t>(sample) * s.queries + query) * in.q_stride + head * s.head_size;
  ReferenceRow row;
  double top = -INFINITY, size = 1;
  for (int key = 0; key < seen; key++) {
    const T* k = in.k() + (static_cast<size_t>(sample) * s.keys + key) * in.k_stride + head * s.head_size;
    double score = 0, terms = 0;
    for (int d = 0; d < s.head_size; d++) {
      const double term = static_cast<double>(to_float(q[d])) * to_float(k[d]) * s.scale();
      score += term, terms += std::fabs(term);
    }
    row.p.push_back(score);
    top = std::max(top, score);
    size = std::max(size, terms);
  }
  double sum = 0;
  for (double score : row.p) sum += std::exp(score - top);
  row.lse = top + std::log(sum);
  for (double& p : row.p) p = std::exp(p - row.lse);
  row.rounding = (s.head_size + seen) * size * 0x1p-24;
  return row;
}

}  // namespace lorikeet::cuda_sim::test
