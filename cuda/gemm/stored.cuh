// Operands of a product whose b is a frozen weight in 4 or 8 bits. Its codes travel to shared memory and become bf16
// there, in the place where they arrived, so nothing but codes is read and the stages are as large as for bf16. Values
// are those of dequantise, to the bit.
#pragma once

#include "../codes.cuh"
#include "main_loop.cuh"

namespace LORIKEET_CUDA {

// A matrix as quantise stores it. Rows are multiples of 64 elements long: whole blocks of nf4, and whole tiles.
struct StoredMatrix {
  Global<const uint32_t> codes;
  Global<const float> scales;
  int rows, columns;
};

// A segment without b is the product with the stored matrix; it is the last. The others are matrices.
template <class Tile_, BLayout kLayout_, Storage kStorage>
class StoredOperands {
 public:
  using Tile = Tile_;
  using T = bf16;
  static constexpr BLayout kLayout = kLayout_;
  static constexpr bool kTransposedA = false;
  using Parameters = StoredMatrix;
  // Levels of nf4 behind the tiles, for each warp its own, so that no barrier is needed to read them.
  static constexpr int kLevelBytes = kStorage == Storage::nf4 ? Tile::kThreads / 32 * kLevels * 4 : 0;

  __device__ __forceinline__ StoredOperands(const Parameters& p, int, int, int n)
      : p_(p), n_(n), levels_(levels_of_warp()) {
    if (kStorage == Storage::nf4 && threadIdx.x % 32 == 0) store_levels(levels_);
    fetch_scales(0);
  }

  __device__ __forceinline__ void load_a(const Segment<T>& s, int rows, int m, int k, Shared<T> tile) const {
    Dense({}, rows, m, n_).load_a(s, rows, m, k, tile);
  }

  // 16 bytes of codes arrive in the first of the chunks that they are opened to, for the thread which opens that one.
  __device__ __forceinline__ void load_b(const Segment<T>& s, int n, int k, Shared<T> tile) const {
    if (s.b) return Dense({}, 0, 0, n).load_b(s, n, k, tile);
    if (chunk() % kShare != 0) return;
    LORIKEET_UNROLL for (int i = 0; i < kSteps; i++) {
      const int row = first_row(k) + tile_row(i);
      const bool inside = row < p_.rows;
      const int word = inside ? (row * p_.columns + first_column(k)) / kPerWord<kStorage> : 0;
      copy_async(tile.as<uint32_t>() + swizzled<kChunks>(tile_row(i), chunk()) * 4,
                 p_.codes + word + (inside ? chunk() * kWords : 0), inside ? 16 : 0);
    }
  }

  // Opens the tile that starts at k, whose codes have arrived for the threads that asked for them: those of a chunk's
  // own warp, so that barriers of warps suffice. Tiles are opened in their order.
  __device__ __forceinline__ void open(const Segment<T>& s, int k, Shared<T> tile) const {
    if (s.b) return;
    const Shared<uint32_t> words = tile.as<uint32_t>();
    Vector<uint32_t, kWords> codes[kSteps];
    sync_warp();
    LORIKEET_UNROLL for (int i = 0; i < kSteps; i++) {
      const int arrived = swizzled<kChunks>(tile_row(i), chunk() - chunk() % kShare) * 4;
      codes[i] = load_vector<kWords>(words, arrived + chunk() % kShare * kWords);
    }
    sync_warp();
    LORIKEET_UNROLL for (int i = 0; i < kSteps; i++) {
      const auto value = [&](int e) {
        const uint32_t word = codes[i][e / kPerWord<kStorage>];
        return number_of<kStorage>(word, e % kPerWord<kStorage>, levels_) * scales_[i];
      };
      Vector<uint32_t, 4> opened;
      LORIKEET_UNROLL for (int pair = 0; pair < 4; pair++) {
        opened[pair] = pack_bf16(value(2 * pair), value(2 * pair + 1));
      }
      store_vector(words, swizzled<kChunks>(tile_row(i), chunk()) * 4, opened);
    }
    if (kStorage == Storage::nf4 || !kRowsOfOutput) fetch_scales(k + Tile::kBlockK);
  }

  __device__ __forceinline__ int output_row(int row) const { return row; }

 private:
  using Dense = MatrixOperands<Tile, kLayout>;
  // Rows of the stored matrix are columns of the output, or run along the reduction.
  static constexpr bool kRowsOfOutput = kLayout == BLayout::k_contiguous;
  static constexpr int kRows = kRowsOfOutput ? Tile::kBlockN : Tile::kBlockK;  // of a tile as the matrix is stored
  static constexpr int kColumns = kRowsOfOutput ? Tile::kBlockK : Tile::kBlockN;
  static constexpr int kChunks = kColumns / 8;                 // of a row, opened
  static constexpr int kWords = 8 / kPerWord<kStorage>;        // of codes of an opened chunk
  static constexpr int kShare = 4 / kWords;                    // opened chunks of 16 bytes of codes
  static constexpr int kRowsAtOnce = Tile::kThreads / kChunks;
  static constexpr int kSteps = kRows / kRowsAtOnce;
  static_assert(kNf4Block % kColumns == 0, "a row of a tile has one scale");
  static_assert(kChunks % kShare == 0 && 32 % kShare == 0, "a warp opens the codes that it asked for");
  static_assert(Tile::kThreads % kChunks == 0 && kRows % kRowsAtOnce == 0, "every thread opens as many chunks");

  static __device__ __forceinline__ int chunk() { return static_cast<int>(threadIdx.x) % kChunks; }
  static __device__ __forceinline__ int tile_row(int i) {
    return static_cast<int>(threadIdx.x) / kChunks + i * kRowsAtOnce;
  }
  __device__ __forceinline__ int first_row(int k) const { return kRowsOfOutput ? n_ : k; }
  __device__ __forceinline__ int first_column(int k) const { return kRowsOfOutput ? k : n_; }

  static __device__ __forceinline__ Shared<float> levels_of_warp() {
    const int warp = static_cast<int>(threadIdx.x) / 32;
    return dynamic_shared<float>("levels", Tile::kSharedBytes, kLevelBytes / 4) + warp * kLevels;
  }

  // Of the tile that starts at k, a step before it is opened: the product of the tile before hides how long that takes.
  // What lies outside has codes of zero, which become +0 with these scales.
  __device__ __forceinline__ void fetch_scales(int k) const {
    constexpr float kOutside = kStorage == Storage::nf4 ? -0.0f : 0.0f;
    LORIKEET_UNROLL for (int i = 0; i < kSteps; i++) {
      const int row = first_row(k) + tile_row(i), column = first_column(k);
      scales_[i] = kOutside;
      if (row >= p_.rows || column >= p_.columns) continue;
      const int block = (row * p_.columns + column) / static_cast<int>(kNf4Block);
      scales_[i] = load(p_.scales, kStorage == Storage::nf4 ? block : row);
    }
  }

  const Parameters& p_;
  const int n_;
  const Shared<float> levels_;
  mutable float scales_[kSteps];
};

template <class Tile, BLayout kLayout, Storage kStorage>
constexpr bool kOpensTiles<StoredOperands<Tile, kLayout, kStorage>> = true;

}  // namespace LORIKEET_CUDA
