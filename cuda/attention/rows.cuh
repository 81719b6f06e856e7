// Tiles of a head's rows in shared memory, and the fragments that the products of attention take from them.
#pragma once

#include "../swizzle.cuh"
#include "heads.cuh"

namespace LORIKEET_CUDA {

// kRows rows of kWidth elements, the columns of a head made up with zeros to a multiple of 16.
template <int kWidth>
struct RowTile {
  static constexpr int kChunks = kWidth / 8;
  static_assert(kWidth % 16 == 0, "mma takes 16 columns");

  static __device__ __forceinline__ int place(int row, int chunk) { return swizzled<kChunks>(row, chunk) * 8; }

  // Rows `first` and on of the head, with zeros behind its end; the caller commits and waits.
  template <int kRows, int kThreads>
  static __device__ __forceinline__ void load_rows(const HeadRows<bf16>& head, int first, Shared<bf16> tile) {
    LORIKEET_UNROLL for (int i = 0; i < (kRows * kChunks + kThreads - 1) / kThreads; i++) {
      const int at = i * kThreads + static_cast<int>(threadIdx.x);
      if (kRows * kChunks % kThreads != 0 && at >= kRows * kChunks) break;
      const int row = at / kChunks, chunk = at % kChunks;
      const bool inside = first + row < head.rows && chunk * 8 < head.columns;
      copy_async(tile + place(row, chunk), head.data + (inside ? (first + row) * head.stride + chunk * 8 : 0),
                 inside ? 16 : 0);
    }
  }

  // The A fragment of the 16 rows from `row` on and columns 16 k to 16 k + 16.
  static __device__ __forceinline__ void load_a(uint32_t (&a)[4], Shared<bf16> tile, int row, int k) {
    const Position at = address_of_a(static_cast<int>(threadIdx.x) % 32);
    load_matrices(a, tile + place(row + at.row, k * 2 + at.column));
  }

  // B fragments of a product with the transpose: n runs over the rows from `row` on, k over columns 16 k to 16 k + 16.
  template <int NI>
  static __device__ __forceinline__ void load_b(uint32_t (&b)[NI][2], Shared<bf16> tile, int row, int k) {
    const Position at = address_of_b_pair(static_cast<int>(threadIdx.x) % 32);
    LORIKEET_UNROLL for (int j = 0; j < NI; j += 2) {
      uint32_t pair[4];
      load_matrices(pair, tile + place(row + j * 8 + at.row, k * 2 + at.column));
      split(b[j], b[j + 1], pair);
    }
  }

  // B fragments of a product with the tile as it is: k runs over the 16 rows from `row` on, n over columns from 8
  // `chunk` on.
  template <int NI>
  static __device__ __forceinline__ void load_b_plain(uint32_t (&b)[NI][2], Shared<bf16> tile, int row, int chunk) {
    const Position at = address_of_b_pair_transposed(static_cast<int>(threadIdx.x) % 32);
    LORIKEET_UNROLL for (int j = 0; j < NI; j += 2) {
      uint32_t pair[4];
      load_matrices_transposed(pair, tile + place(row + at.row, chunk + j + at.column));
      split(b[j], b[j + 1], pair);
    }
  }

 private:
  static __device__ __forceinline__ void split(uint32_t (&first)[2], uint32_t (&second)[2], const uint32_t (&pair)[4]) {
    first[0] = pair[0];
    first[1] = pair[1];
    second[0] = pair[2];
    second[1] = pair[3];
  }
};

// Sums of a warp in C fragments: kRows x kWidth, in groups of columns, since the B fragments of one group are in
// registers at once.
template <int kRows, int kWidth>
struct RowSums {
  static constexpr int MI = kRows / 16, NI = kWidth / 8;
  static constexpr int kGroups = NI > 10 ? 2 : 1, kGroupNI = NI / kGroups;
  static_assert(NI % kGroups == 0 && kGroupNI % 2 == 0, "groups of pairs");

  float at[kGroups][MI][kGroupNI][4];

  __device__ __forceinline__ void clear() {
    LORIKEET_UNROLL for (int i = 0; i < MI; i++) {
      LORIKEET_UNROLL for (int half = 0; half < 2; half++) {
        LORIKEET_UNROLL for (int j = 0; j < NI; j++) {
          (*this)(i, j, 2 * half) = 0.0f;
          (*this)(i, j, 2 * half + 1) = 0.0f;
        }
      }
    }
  }
  __device__ __forceinline__ float& operator()(int i, int j, int reg) { return at[j / kGroupNI][i][j % kGroupNI][reg]; }

  // The rows that register pair `half` of row tile `i` belongs to.
  __device__ __forceinline__ void multiply_row(int i, int half, float factor) {
    LORIKEET_UNROLL for (int j = 0; j < NI; j++) {
      (*this)(i, j, 2 * half) *= factor;
      (*this)(i, j, 2 * half + 1) *= factor;
    }
  }

  // Adds a times the 16 rows of a tile from `row` on.
  __device__ __forceinline__ void add_product(const uint32_t (&a)[MI][4], Shared<bf16> tile, int row) {
    LORIKEET_UNROLL for (int group = 0; group < kGroups; group++) {
      uint32_t b[kGroupNI][2];
      RowTile<kWidth>::load_b_plain(b, tile, row, group * kGroupNI);
      multiply_add<M16N8K16, MI, kGroupNI>(at[group], a, b);
    }
  }
};

// C fragments become A fragments of the next product: two neighbours in n are 16 columns of k.
template <int MI, int NI>
__device__ __forceinline__ void pack_as_a(uint32_t (&a)[MI][4], const float (&c)[MI][NI][4], int k) {
  LORIKEET_UNROLL for (int i = 0; i < MI; i++) {
    LORIKEET_UNROLL for (int reg = 0; reg < 4; reg++) {
      const float(&pair)[4] = c[i][2 * k + reg / 2];
      a[i][reg] = pack_bf16(pair[reg % 2 * 2], pair[reg % 2 * 2 + 1]);
    }
  }
}

// Rounds the sums of a warp and writes those inside of a head's rows: `to` leads to its first row of kRows, of which
// `rows` exist. `stage` is kRows x kWidth elements of the warp's own, through which whole rows are put together.
template <int kRows, int kWidth>
__device__ __forceinline__ void write_rows(RowSums<kRows, kWidth>& sums, Global<bf16> to, int64_t stride, int rows,
                                           int columns, Shared<bf16> stage) {
  using Tile = RowTile<kWidth>;
  const int lane = static_cast<int>(threadIdx.x) % 32;
  LORIKEET_UNROLL for (int i = 0; i < kRows / 16; i++) {
    LORIKEET_UNROLL for (int reg = 0; reg < 4; reg += 2) {
      const Position at = M16N8K16::c(lane, reg);
      LORIKEET_UNROLL for (int j = 0; j < Tile::kChunks; j++) {
        store(stage.as<uint32_t>(), (Tile::place(i * 16 + at.row, j) + at.column) / 2,
              pack_bf16(sums(i, j, reg), sums(i, j, reg + 1)));
      }
    }
  }
  sync_warp();
  LORIKEET_UNROLL for (int i = 0; i < kRows * Tile::kChunks / 32; i++) {
    const int row = (i * 32 + lane) / Tile::kChunks, chunk = (i * 32 + lane) % Tile::kChunks;
    const Vector<bf16, 8> values = load_vector<8>(stage, Tile::place(row, chunk));
    if (row < rows && chunk * 8 < columns) store_vector(to, row * stride + chunk * 8, values);
  }
}

}  // namespace LORIKEET_CUDA
