// Which lane holds what in the operands of the warp's matrix instructions, as the PTX manual draws it ("Matrix
// fragments for mma.m16n8k16" and neighbours, "ldmatrix"). Kernels, the emulated instructions and the tests ask here.
// A 32-bit register holds two 16-bit elements, `half` 0 being the lower.
#pragma once

#include "memory.cuh"

namespace LORIKEET_CUDA {

struct Position {
  int row, column;
};

// D = A B + C with A [16, 16], B [16, 8], C and D [16, 8]; A and B of 16-bit elements, C and D of f32.
struct M16N8K16 {
  static constexpr int kM = 16, kN = 8, kK = 16;
  static constexpr int kRegistersA = 4, kRegistersB = 2, kRegistersC = 4;

  __host__ __device__ static constexpr Position a(int lane, int reg, int half) {
    return {lane / 4 + 8 * (reg % 2), lane % 4 * 2 + half + 8 * (reg / 2)};
  }
  __host__ __device__ static constexpr Position b(int lane, int reg, int half) {
    return {lane % 4 * 2 + half + 8 * reg, lane / 4};
  }
  __host__ __device__ static constexpr Position c(int lane, int reg) {
    return {lane / 4 + 8 * (reg / 2), lane % 4 * 2 + reg % 2};
  }
};

// The same with A [16, 8] and B [8, 8].
struct M16N8K8 {
  static constexpr int kM = 16, kN = 8, kK = 8;
  static constexpr int kRegistersA = 2, kRegistersB = 1, kRegistersC = 4;

  __host__ __device__ static constexpr Position a(int lane, int reg, int half) {
    return {lane / 4 + 8 * reg, lane % 4 * 2 + half};
  }
  __host__ __device__ static constexpr Position b(int lane, int, int half) { return {lane % 4 * 2 + half, lane / 4}; }
  __host__ __device__ static constexpr Position c(int lane, int reg) { return M16N8K16::c(lane, reg); }
};

// ldmatrix.x4 reads four 8 x 8 matrices of 16-bit elements; lane 8 m + r gives the address of row r of matrix m, and
// register m receives a part of that matrix: this element of it, or of its transpose.
struct MatrixLoad {
  __host__ __device__ static constexpr Position element(int lane, int half) { return {lane / 4, lane % 4 * 2 + half}; }
  __host__ __device__ static constexpr int matrix_of_address(int lane) { return lane / 8; }
  __host__ __device__ static constexpr int row_of_address(int lane) { return lane % 8; }
};

// Where lane `lane` points ldmatrix.x4 so that its four registers are the four of an A fragment, in a tile stored with
// K contiguous: rows of the tile, and columns in units of 8 elements.
__host__ __device__ constexpr Position address_of_a(int lane) {
  const int matrix = MatrixLoad::matrix_of_address(lane);
  return {MatrixLoad::row_of_address(lane) + 8 * (matrix % 2), matrix / 2};
}

// The same for the B fragments of two neighbours in N (registers 0, 1 of the first, then of the second), from a tile
// stored as [N, K], K contiguous: row is n, column k / 8.
__host__ __device__ constexpr Position address_of_b_pair(int lane) {
  const int matrix = MatrixLoad::matrix_of_address(lane);
  return {MatrixLoad::row_of_address(lane) + 8 * (matrix / 2), matrix % 2};
}

// And from a tile stored as [K, N], N contiguous, through ldmatrix.trans: row is k, column n / 8.
__host__ __device__ constexpr Position address_of_b_pair_transposed(int lane) {
  const int matrix = MatrixLoad::matrix_of_address(lane);
  return {MatrixLoad::row_of_address(lane) + 8 * (matrix % 2), matrix / 2};
}

// And where it points for an A fragment from a tile stored as [K, M], M contiguous: row is k, column m / 8.
__host__ __device__ constexpr Position address_of_a_transposed(int lane) {
  const int matrix = MatrixLoad::matrix_of_address(lane);
  return {MatrixLoad::row_of_address(lane) + 8 * (matrix / 2), matrix % 2};
}

}  // namespace LORIKEET_CUDA
