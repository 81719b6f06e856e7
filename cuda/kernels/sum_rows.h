// sum_rows: rows in equal consecutive groups, each summed in f32: the gradient of a bias, or of a shift per sample.
#pragma once

#include "../bf16.h"
#include "../runtime.h"

namespace LORIKEET_CUDA {

// x [groups, rows, columns] of bf16 or float. y [groups, columns], of the same or of float; with `add` the sums are
// added to what is there.
template <typename T, typename Y>
struct SumRows {
  int64_t groups, rows, columns;
  const T* x;
  Y* y;
  bool add;
  float* sums;  // sum_rows_scratch of them to work in
};

// Rows are summed in parts of one size, whatever the card, so the bits of a sum depend on its rows alone.
int64_t sum_rows_scratch(int64_t groups, int64_t rows, int64_t columns);

template <typename T, typename Y>
void launch_sum_rows(const SumRows<T, Y>& problem, Stream stream);  // for T and Y = float or bf16

}  // namespace LORIKEET_CUDA
