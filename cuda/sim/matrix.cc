#include "matrix.h"

namespace lorikeet::sim {

void multiply_add(float* c, const float* a, const float* b, int m, int n, int k) {
  for (int row = 0; row < m; row++) {
    float* __restrict__ sums = c + row * n;
    for (int inner = 0; inner < k; inner++) {
      const float factor = a[row * k + inner];
      const float* __restrict__ terms = b + inner * n;
      for (int column = 0; column < n; column++) sums[column] += factor * terms[column];
    }
  }
}

}  // namespace lorikeet::sim
