// The arithmetic of the emulated tensor cores.
#pragma once

namespace lorikeet::sim {

// c[m][n] += sum over k of a[m][k] b[k][n], row-major, k ascending, one rounding to f32 for each term. Products of
// 16-bit floats are exact in f32. The order inside a real tensor core is not documented, and its sums may be cut off
// where these are rounded.
void multiply_add(float* c, const float* a, const float* b, int m, int n, int k);

}  // namespace lorikeet::sim
