#include <cmath>

#include "checks.h"
#include "../launch.cuh"
#include "simt.cuh"

namespace LORIKEET_CUDA {
namespace {

using namespace simt;

template <typename T>
struct Arguments {
  TokenRows<T> q, k, v, d_o;
  Global<const float> lse, delta;
  int heads, head_size, column_groups;
  bool causal, in_pieces;
  float scale;
};

template <typename T>
struct Gradient {
  Global<T> data;
  int64_t stride;
};

// Shared memory of both kernels: own rows and rows of a step of two tensors, and weights of the step's rows.
struct Stages {
  Shared<float> own, own_second, step, step_second, weights, weights_second;
  static constexpr int kBytes = (4 * kTileFloats + 2 * kWeightFloats) * 4;

  __device__ __forceinline__ Stages()
      : own(dynamic_shared<float>("own rows", 0, kTileFloats)),
        own_second(dynamic_shared<float>("second own rows", kTileFloats * 4, kTileFloats)),
        step(dynamic_shared<float>("step", 2 * kTileFloats * 4, kTileFloats)),
        step_second(dynamic_shared<float>("second step", 3 * kTileFloats * 4, kTileFloats)),
        weights(dynamic_shared<float>("weights", 4 * kTileFloats * 4, kWeightFloats)),
        weights_second(
            dynamic_shared<float>("second weights", (4 * kTileFloats + kWeightFloats) * 4, kWeightFloats)) {}
};

// Two tensors whose rows a block owns, and the two that it walks over: q and do against k and v, or the other way.
template <typename T>
struct Walk {
  HeadRows<T> own, own_second, step, step_second;
  bool in_pieces;

  // The products of own and step, and of the second two, from rows `first` and `first_step` on. Heads of no more than a
  // chunk lie in the stages afterwards, the block's own for good.
  __device__ __forceinline__ void multiply(Row& products, Row& products_second, const Stages& stages, int first,
                                           int first_step, bool is_first_step) const {
    for (int column = 0; column < own.columns; column += kChunk) {
      sync_block();
      if (is_first_step || own.columns > kChunk) {
        load_tile(own, first, column, in_pieces, stages.own);
        load_tile(own_second, first, column, in_pieces, stages.own_second);
      }
      load_tile(step, first_step, column, in_pieces, stages.step);
      load_tile(step_second, first_step, column, in_pieces, stages.step_second);
      sync_block();
      const int columns = columns_in_use(own.columns, column);
      add_row_products(products, stages.own, stages.step, columns);
      add_row_products(products_second, stages.own_second, stages.step_second, columns);
    }
  }
};

template <typename T, int kChunks>
__global__ void __launch_bounds__(kThreads, 1) attention_dq_simt_kernel(Arguments<T> p, Gradient<T> dq) {
  const Place place(p.column_groups, kChunks * kChunk);
  const Walk<T> walk{p.q.head(place.sample, place.head, p.head_size), p.d_o.head(place.sample, place.head, p.head_size),
                     p.k.head(place.sample, place.head, p.head_size), p.v.head(place.sample, place.head, p.head_size),
                     p.in_pieces};
  const Stages stages;
  const int queries = p.q.rows, keys = p.k.rows, first_query = place.first + warp_of() * kWarpRows;
  const int seen = p.causal && place.first + kRows < keys ? place.first + kRows : keys;
  // Rows behind the end have no probability.
  const int64_t head_row = (static_cast<int64_t>(place.sample) * p.heads + place.head) * queries;
  Row lse, delta;
  LORIKEET_UNROLL for (int r = 0; r < kWarpRows; r++) {
    const bool inside = first_query + r < queries;
    lse[r] = inside ? load(p.lse, head_row + first_query + r) : INFINITY;
    delta[r] = inside ? load(p.delta, head_row + first_query + r) : 0.0f;
  }
  RowSums<kChunks> sums;
  sums.clear();
  for (int first_key = 0; first_key < seen; first_key += kRows) {
    Row s{}, ds{};
    walk.multiply(s, ds, stages, place.first, first_key, first_key == 0);
    const int key = first_key + lane_of();
    LORIKEET_UNROLL for (int r = 0; r < kWarpRows; r++) {
      const bool visible = key < keys && (!p.causal || key <= first_query + r);
      const float probability = exp2_approx((s[r] * p.scale - lse[r]) * kLog2E);
      ds[r] = visible ? probability * (ds[r] - delta[r]) : 0.0f;
    }
    store_weights(stages.weights, ds);
    const int rows = keys - first_key < kRows ? keys - first_key : kRows;
    LORIKEET_UNROLL for (int chunk = 0; chunk < kChunks; chunk++) {
      const int column = place.column + chunk * kChunk;
      if (column >= p.head_size) break;
      if (p.head_size > kChunk) {
        sync_block();
        load_tile(walk.step, first_key, column, p.in_pieces, stages.step);
      }
      sync_block();
      sums.add_step(chunk, stages.weights, stages.step, rows);
    }
  }
  sums.multiply(Row{{p.scale, p.scale, p.scale, p.scale}});
  const int64_t start = static_cast<int64_t>(place.sample) * queries * dq.stride + place.head * p.head_size;
  sums.write(dq.data + start, dq.stride, place.first, queries, place.column, p.head_size);
}

// Own rows are keys, the rows of a step queries.
template <typename T, int kChunks>
__global__ void __launch_bounds__(kThreads, 1) attention_dkv_simt_kernel(Arguments<T> p, Gradient<T> dk,
                                                                         Gradient<T> dv) {
  const Place place(p.column_groups, kChunks * kChunk);
  const Walk<T> walk{p.k.head(place.sample, place.head, p.head_size), p.v.head(place.sample, place.head, p.head_size),
                     p.q.head(place.sample, place.head, p.head_size), p.d_o.head(place.sample, place.head, p.head_size),
                     p.in_pieces};
  const Stages stages;
  const int queries = p.q.rows, keys = p.k.rows, first_key = place.first + warp_of() * kWarpRows;
  const int64_t head_row = (static_cast<int64_t>(place.sample) * p.heads + place.head) * queries;
  const int start = p.causal ? place.first : 0;  // earlier queries see none of these keys
  RowSums<kChunks> dk_sums, dv_sums;
  dk_sums.clear();
  dv_sums.clear();
  for (int first_query = start; first_query < queries; first_query += kRows) {
    Row probabilities{}, ds{};
    walk.multiply(probabilities, ds, stages, place.first, first_query, first_query == start);
    const int query = first_query + lane_of();
    const float lse = query < queries ? load(p.lse, head_row + query) : INFINITY;
    const float delta = query < queries ? load(p.delta, head_row + query) : 0.0f;
    LORIKEET_UNROLL for (int r = 0; r < kWarpRows; r++) {
      const bool visible = query < queries && (!p.causal || first_key + r <= query);
      const float probability = exp2_approx((probabilities[r] * p.scale - lse) * kLog2E);
      probabilities[r] = visible ? probability : 0.0f;
      ds[r] = visible ? probability * (ds[r] - delta) : 0.0f;
    }
    store_weights(stages.weights, probabilities);
    store_weights(stages.weights_second, ds);
    const int rows = queries - first_query < kRows ? queries - first_query : kRows;
    LORIKEET_UNROLL for (int chunk = 0; chunk < kChunks; chunk++) {
      const int column = place.column + chunk * kChunk;
      if (column >= p.head_size) break;
      if (p.head_size > kChunk) {
        sync_block();
        load_tile(walk.step, first_query, column, p.in_pieces, stages.step);
        load_tile(walk.step_second, first_query, column, p.in_pieces, stages.step_second);
      }
      sync_block();
      dv_sums.add_step(chunk, stages.weights, stages.step_second, rows);
      dk_sums.add_step(chunk, stages.weights_second, stages.step, rows);
    }
  }
  dk_sums.multiply(Row{{p.scale, p.scale, p.scale, p.scale}});
  const int64_t row = static_cast<int64_t>(place.sample) * keys;
  const int column = place.head * p.head_size;
  if (dk.data) {
    dk_sums.write(dk.data + (row * dk.stride + column), dk.stride, place.first, keys, place.column, p.head_size);
  }
  if (dv.data) {
    dv_sums.write(dv.data + (row * dv.stride + column), dv.stride, place.first, keys, place.column, p.head_size);
  }
}

// A warp a row of a head.
template <typename T>
__global__ void __launch_bounds__(kThreads) attention_delta_simt_kernel(TokenRows<T> o, TokenRows<T> d_o,
                                                                        Global<float> delta, int heads, int head_size) {
  const int row = static_cast<int>(blockIdx.x) * kWarps + warp_of();
  if (row >= o.rows) return;
  const int head = static_cast<int>(blockIdx.y), sample = static_cast<int>(blockIdx.z);
  const HeadRows<T> one = o.head(sample, head, head_size), other = d_o.head(sample, head, head_size);
  float sum = 0.0f;
  for (int column = lane_of(); column < head_size; column += 32) {
    const float x = to_float(load(one.data, row * one.stride + column));
    sum += x * to_float(load(other.data, row * other.stride + column));
  }
  sum = warp_sum(sum);
  if (lane_of() == 0) store(delta, (static_cast<int64_t>(sample) * heads + head) * o.rows + row, sum);
}

template <int kChunks, typename T>
void start(const AttentionBackward<T>& p, Stream stream) {
  const int groups = static_cast<int>(blocks_for(p.head_size, kChunks * kChunk));
  LaunchShape shape;
  shape.block = dim3(kThreads);
  shape.grid = dim3(blocks_for(p.queries, kWarps), p.heads, p.batch);
  const TokenRows<T> o{p.o.data, p.o.stride, p.queries}, d_o{p.d_o.data, p.d_o.stride, p.queries};
  launch("attention_delta_simt", &attention_delta_simt_kernel<T>, shape, stream, o, d_o, p.delta, p.heads, p.head_size);
  const Arguments<T> arguments{{p.q.data, p.q.stride, p.queries},
                               {p.k.data, p.k.stride, p.keys},
                               {p.v.data, p.v.stride, p.keys},
                               d_o,
                               p.lse,
                               p.delta,
                               p.heads,
                               p.head_size,
                               groups,
                               p.causal,
                               in_pieces(p, 4 * sizeof(T)),
                               p.scale};
  shape.shared_bytes = Stages::kBytes;
  if (p.dq.data) {
    shape.grid = dim3(blocks_for(p.queries, kRows), p.heads, p.batch * groups);
    launch("attention_dq_simt", &attention_dq_simt_kernel<T, kChunks>, shape, stream, arguments,
           Gradient<T>{p.dq.data, p.dq.stride});
  }
  if (p.dk.data || p.dv.data) {
    shape.grid = dim3(blocks_for(p.keys, kRows), p.heads, p.batch * groups);
    launch("attention_dkv_simt", &attention_dkv_simt_kernel<T, kChunks>, shape, stream, arguments,
           Gradient<T>{p.dk.data, p.dk.stride}, Gradient<T>{p.dv.data, p.dv.stride});
  }
}

}  // namespace

template <typename T>
void launch_attention_backward_simt(const AttentionBackward<T>& p, Stream stream) {
  if (p.batch == 0 || p.heads == 0 || p.queries == 0) return;
  require_attention(p);
  if (p.head_size <= kChunk) return start<1>(p, stream);
  start<3>(p, stream);
}

template void launch_attention_backward_simt(const AttentionBackward<float>&, Stream);
template void launch_attention_backward_simt(const AttentionBackward<bf16>&, Stream);

}  // namespace LORIKEET_CUDA
