#include "rotary_embedding.h"

#include "../launch.cuh"
#include "../memory.cuh"
#include "../numeric.cuh"

namespace LORIKEET_CUDA {
namespace {

constexpr int kThreads = 128;

// kCount elements, by one access or, where rows do not allow that, each by itself.
template <int kCount, bool kWide, typename T>
__device__ __forceinline__ Vector<T, kCount> load_piece(Global<const T> from, int64_t i) {
  if constexpr (kWide) {
    return load_vector<kCount>(from, i);
  } else {
    Vector<T, kCount> piece;
    LORIKEET_UNROLL for (int e = 0; e < kCount; e++) piece[e] = load(from, i + e);
    return piece;
  }
}

// A thread has kWidth columns of a token, in every sample. A head is a multiple of that.
template <typename T, bool kWide>
__global__ void __launch_bounds__(kThreads)
    rotary_embedding_kernel(Global<const T> x, Global<const float> cos, Global<const float> sin, Global<T> y,
                            int samples, int tokens, int columns, int pairs, float sign) {
  constexpr int kWidth = kWide ? kPerAccess<T> : 2;
  const int column = static_cast<int>(blockIdx.y * kThreads + threadIdx.x) * kWidth;
  if (column >= columns) return;
  const int64_t angle = static_cast<int64_t>(blockIdx.x) * pairs + column % (2 * pairs) / 2;
  const Vector<float, kWidth / 2> c = load_piece<kWidth / 2, kWide>(cos, angle);
  const Vector<float, kWidth / 2> s = load_piece<kWidth / 2, kWide>(sin, angle);
  LORIKEET_UNROLL_BY(2) for (int sample = 0; sample < samples; sample++) {
    const int64_t at = (static_cast<int64_t>(sample) * tokens + blockIdx.x) * columns + column;
    Vector<T, kWidth> piece = load_piece<kWidth, kWide>(x, at);
    LORIKEET_UNROLL for (int i = 0; i < kWidth / 2; i++) {
      const float a = to_float(piece[2 * i]), b = to_float(piece[2 * i + 1]), turn = sign * s[i];
      piece[2 * i] = from_float<T>(a * c[i] - b * turn);
      piece[2 * i + 1] = from_float<T>(b * c[i] + a * turn);
    }
    if constexpr (kWide) {
      store_vector(y, at, piece);
    } else {
      LORIKEET_UNROLL for (int e = 0; e < kWidth; e++) store(y, at + e, piece[e]);
    }
  }
}

template <bool kWide, typename T>
void start(const RotaryEmbedding<T>& p, Stream stream) {
  LaunchShape shape;
  shape.grid = dim3(static_cast<unsigned>(p.tokens), blocks_for(p.columns, kThreads * (kWide ? kPerAccess<T> : 2)));
  shape.block = dim3(kThreads);
  launch("rotary_embedding", &rotary_embedding_kernel<T, kWide>, shape, stream, p.x, p.cos, p.sin, p.y, p.samples,
         p.tokens, p.columns, p.pairs, p.inverse ? -1.0f : 1.0f);
}

}  // namespace

template <typename T>
void launch_rotary_embedding(const RotaryEmbedding<T>& p, Stream stream) {
  if (p.samples == 0 || p.tokens == 0 || p.columns == 0) return;
  if (2 * p.pairs % kPerAccess<T> == 0 && aligned(p.x, p.cos, p.sin, p.y)) return start<true>(p, stream);
  start<false>(p, stream);
}

template void launch_rotary_embedding(const RotaryEmbedding<float>&, Stream);
template void launch_rotary_embedding(const RotaryEmbedding<bf16>&, Stream);

}  // namespace LORIKEET_CUDA
