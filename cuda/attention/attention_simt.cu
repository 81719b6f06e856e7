#include <cmath>

#include "checks.h"
#include "../launch.cuh"
#include "simt.cuh"

namespace LORIKEET_CUDA {
namespace {

using namespace simt;

template <typename T>
struct Arguments {
  TokenRows<T> q, k, v;
  Global<T> o;
  int64_t o_stride;
  Global<float> lse;
  int heads, head_size, column_groups;
  bool causal, in_pieces;
  float scale;
};

__device__ __forceinline__ float warp_max(float value) {
  LORIKEET_UNROLL for (int distance = 16; distance > 0; distance /= 2) {
    value = fmaxf(value, shuffle_xor(value, distance));
  }
  return value;
}

template <typename T, int kChunks>
__global__ void __launch_bounds__(kThreads, 1) attention_simt_kernel(Arguments<T> p) {
  const Place place(p.column_groups, kChunks * kChunk);
  const HeadRows<T> q = p.q.head(place.sample, place.head, p.head_size);
  const HeadRows<T> k = p.k.head(place.sample, place.head, p.head_size);
  const HeadRows<T> v = p.v.head(place.sample, place.head, p.head_size);
  const Shared<float> own = dynamic_shared<float>("queries", 0, kTileFloats);
  const Shared<float> step = dynamic_shared<float>("keys or values", kTileFloats * 4, kTileFloats);
  const Shared<float> weights = dynamic_shared<float>("probabilities", 2 * kTileFloats * 4, kWeightFloats);
  const int first_query = place.first + warp_of() * kWarpRows;
  const int seen = p.causal && place.first + kRows < k.rows ? place.first + kRows : k.rows;

  // The largest score so far, in the exponent of 2, and the sum of the exponentials against it: each lane has those of
  // its own keys.
  Row largest, sum{};
  LORIKEET_UNROLL for (int r = 0; r < kWarpRows; r++) largest[r] = -INFINITY;
  RowSums<kChunks> sums;
  sums.clear();
  for (int first_key = 0; first_key < seen; first_key += kRows) {
    Row scores{};
    for (int column = 0; column < p.head_size; column += kChunk) {
      sync_block();
      if (first_key == 0 || p.head_size > kChunk) load_tile(q, place.first, column, p.in_pieces, own);
      load_tile(k, first_key, column, p.in_pieces, step);
      sync_block();
      add_row_products(scores, own, step, columns_in_use(p.head_size, column));
    }
    const int key = first_key + lane_of();
    Row corrections;
    LORIKEET_UNROLL for (int r = 0; r < kWarpRows; r++) {
      const bool visible = key < k.rows && (!p.causal || key <= first_query + r);
      const float score = visible ? scores[r] * (p.scale * kLog2E) : -INFINITY;
      const float top = fmaxf(largest[r], warp_max(score));
      const float base = top == -INFINITY ? 0.0f : top;  // nothing but minus infinity yet
      corrections[r] = exp2_approx(largest[r] - base);
      scores[r] = exp2_approx(score - base);
      sum[r] = sum[r] * corrections[r] + scores[r];
      largest[r] = top;
    }
    sums.multiply(corrections);
    store_weights(weights, scores);
    const int rows = k.rows - first_key < kRows ? k.rows - first_key : kRows;
    LORIKEET_UNROLL for (int chunk = 0; chunk < kChunks; chunk++) {
      const int column = place.column + chunk * kChunk;
      if (column >= p.head_size) break;
      sync_block();
      load_tile(v, first_key, column, p.in_pieces, step);
      sync_block();
      sums.add_step(chunk, weights, step, rows);
    }
  }

  Row inverse;
  LORIKEET_UNROLL for (int r = 0; r < kWarpRows; r++) {
    const float total = warp_sum(sum[r]);
    inverse[r] = 1.0f / total;
    if (lane_of() == 0 && place.column == 0 && first_query + r < q.rows) {
      const int64_t row = (static_cast<int64_t>(place.sample) * p.heads + place.head) * q.rows + first_query + r;
      store(p.lse, row, largest[r] * 0.693147181f + logf(total));
    }
  }
  sums.multiply(inverse);
  const int64_t start = static_cast<int64_t>(place.sample) * q.rows * p.o_stride + place.head * p.head_size;
  sums.write(p.o + start, p.o_stride, place.first, q.rows, place.column, p.head_size);
}

template <int kChunks, typename T>
void start(const Attention<T>& p, Stream stream) {
  const int groups = static_cast<int>(blocks_for(p.head_size, kChunks * kChunk));
  LaunchShape shape;
  shape.grid = dim3(blocks_for(p.queries, kRows), p.heads, p.batch * groups);
  shape.block = dim3(kThreads);
  shape.shared_bytes = (2 * kTileFloats + kWeightFloats) * 4;
  const Arguments<T> arguments{{p.q.data, p.q.stride, p.queries},
                               {p.k.data, p.k.stride, p.keys},
                               {p.v.data, p.v.stride, p.keys},
                               p.o.data,
                               p.o.stride,
                               p.lse,
                               p.heads,
                               p.head_size,
                               groups,
                               p.causal,
                               in_pieces(p, 4 * sizeof(T)),
                               p.scale};
  launch("attention_simt", &attention_simt_kernel<T, kChunks>, shape, stream, arguments);
}

}  // namespace

template <typename T>
void launch_attention_simt(const Attention<T>& p, Stream stream) {
  if (p.batch == 0 || p.heads == 0 || p.queries == 0) return;
  require_attention(p);
  // Wider heads, such as the VAE's, take more registers.
  if (p.head_size <= kChunk) return start<1>(p, stream);
  if (p.head_size <= 3 * kChunk) return start<3>(p, stream);
  start<8>(p, stream);
}

template void launch_attention_simt(const Attention<float>&, Stream);
template void launch_attention_simt(const Attention<bf16>&, Stream);

}  // namespace LORIKEET_CUDA
