#include "dequantise.h"

#include "codes.cuh"
#include "divider.cuh"
#include "launch.cuh"
#include "numeric.cuh"

namespace LORIKEET_CUDA {
namespace {

constexpr int kWarps = 8, kThreads = 32 * kWarps;
constexpr int kTileWords = 128;  // of codes a warp opens: 16 bytes a lane in one access

// A warp brings the codes of its tile to shared memory, so that both these reads and the writes of values are whole
// sectors in a row: lanes take kGroup values next to each other, one access. With kWide these share a scale and may be
// written at once; the last ones of all are written one by one.
template <typename T, Storage kStorage, bool kWide>
__global__ void __launch_bounds__(kThreads) dequantise_kernel(Global<const uint32_t> codes, Global<const float> scales,
                                                              Global<T> to, int elements, Divider row) {
  constexpr int kGroup = kPerAccess<T>, kTile = kTileWords * kPerWord<kStorage>;
  LORIKEET_SHARED_ARRAY(uint32_t, all_words, kWarps * kTileWords);
  LORIKEET_SHARED_ARRAY(float, levels, kLevels);
  const int thread = static_cast<int>(threadIdx.x), lane = thread % 32;
  const Shared<uint32_t> words = all_words + thread / 32 * kTileWords;
  const int64_t tile = static_cast<int64_t>(blockIdx.x) * kWarps + thread / 32;
  const int64_t first = tile * kTile;
  if (first + lane * (4 * kPerWord<kStorage>) < elements) {
    store_vector(words, lane * 4, load_vector<4>(codes, tile * kTileWords + lane * 4));
  }
  if constexpr (kStorage == Storage::nf4) {
    if (thread == 0) store_levels(levels);
    sync_block();
  } else {
    sync_warp();
  }

  const auto scale_of = [&](int i) {
    return load(scales, kStorage == Storage::nf4 ? i / static_cast<int>(kNf4Block) : row.quotient(i));
  };
  LORIKEET_UNROLL for (int step = 0; step < kTile / (32 * kGroup); step++) {
    const int at = (step * 32 + lane) * kGroup;  // in the tile
    if (first + at >= elements) break;
    const int i = static_cast<int>(first) + at;
    float numbers[kGroup];
    if constexpr (kGroup < kPerWord<kStorage>) {  // half a word
      const uint32_t word = load(words, at / kPerWord<kStorage>) >> (at % kPerWord<kStorage> ? 16 : 0);
      LORIKEET_UNROLL for (int e = 0; e < kGroup; e++) numbers[e] = number_of<kStorage>(word, e, levels);
    } else {
      const auto own = load_vector<kGroup / kPerWord<kStorage>>(words, at / kPerWord<kStorage>);
      LORIKEET_UNROLL for (int e = 0; e < kGroup; e++) {
        numbers[e] = number_of<kStorage>(own[e / kPerWord<kStorage>], e % kPerWord<kStorage>, levels);
      }
    }
    if (kWide && kGroup <= elements - i) {
      const float scale = scale_of(i);
      Vector<T, kGroup> values;
      LORIKEET_UNROLL for (int e = 0; e < kGroup; e++) values[e] = from_float<T>(numbers[e] * scale);
      store_vector(to, i, values);
    } else {
      LORIKEET_UNROLL for (int e = 0; e < kGroup; e++) {
        if (e < elements - i) store(to, i + e, from_float<T>(numbers[e] * scale_of(i + e)));
      }
    }
  }
}

template <typename T, Storage kStorage>
void start(const void* stored, const Shape& shape, T* to, Stream stream) {
  constexpr int64_t kLongest = int64_t{1} << 30;
  const int64_t elements = elements_of(shape);
  if (elements == 0) return;
  require(elements <= kLongest, "a weight of shape ", to_string(shape), " is too large to be opened on a card: ",
          kLongest, " elements are the most");
  require(reinterpret_cast<uintptr_t>(stored) % 16 == 0, "a quantised weight must lie at a multiple of 16 bytes");
  const char* bytes = static_cast<const char*>(stored);
  const uint32_t* codes = reinterpret_cast<const uint32_t*>(bytes);
  const float* scales = reinterpret_cast<const float*>(bytes + stored_layout(kStorage, shape).scales_offset);
  const int64_t row = shape.empty() ? 1 : elements / shape[0];
  const bool wide = aligned(to) && (kStorage == Storage::nf4 || row % kPerAccess<T> == 0);
  LaunchShape grid;
  grid.grid = dim3(blocks_for(elements, int64_t{kWarps} * kTileWords * kPerWord<kStorage>));
  grid.block = dim3(kThreads);
  launch("dequantise", wide ? &dequantise_kernel<T, kStorage, true> : &dequantise_kernel<T, kStorage, false>, grid,
         stream, codes, scales, to, static_cast<int>(elements), divide_by(static_cast<int>(row)));
}

}  // namespace

template <typename T>
void launch_dequantise(const void* stored, Storage storage, const Shape& shape, T* to, Stream stream) {
  switch (storage) {
    case Storage::nf4: return start<T, Storage::nf4>(stored, shape, to, stream);
    case Storage::int8: return start<T, Storage::int8>(stored, shape, to, stream);
    case Storage::fp8: return start<T, Storage::fp8>(stored, shape, to, stream);
    case Storage::plain: break;
  }
  fail("plain weights need not be opened");
}

template void launch_dequantise(const void*, Storage, const Shape&, float*, Stream);
template void launch_dequantise(const void*, Storage, const Shape&, bf16*, Stream);

}  // namespace LORIKEET_CUDA
