// Adapters of a product under test.
#pragma once

#include "cuda/gemm/matmul.h"

#include "../harness.h"

namespace lorikeet::cuda_sim::test {

// On `columns` of the output from `column` on.
struct Part {
  int rank, column, columns;
  float scale;
};

template <typename T>
struct Up {
  DeviceArray<T> h, up;
  Part part;
};

// Fills the arrays of an adapter, which lie in `ups` and must outlive the launch, and gives it to the product.
template <typename T>
void add_up(Matmul<T>& problem, const Part& part, Random& random, std::vector<Up<T>>& ups) {
  const std::string number = std::to_string(ups.size());
  const size_t up_count = static_cast<size_t>(part.columns) * part.rank;
  ups.push_back({DeviceArray<T>("h" + number, static_cast<size_t>(problem.m) * part.rank, sim::Rights::read),
                 DeviceArray<T>("up" + number, up_count, sim::Rights::read), part});
  random.fill(ups.back().h), random.fill(ups.back().up);
  const int up_stride = problem.layout == BLayout::n_contiguous ? part.columns : part.rank;
  problem.ups.push_back({ups.back().h.data(), part.rank, ups.back().up.data(), up_stride, part.rank, part.column,
                         part.columns, part.scale});
}

}  // namespace lorikeet::cuda_sim::test
