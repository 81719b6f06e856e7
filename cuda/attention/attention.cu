#include "attention.h"

#include <cmath>

#include "../launch.cuh"
#include "checks.h"
#include "rows.cuh"

namespace LORIKEET_CUDA {
namespace {

// One block serves kQueries queries of a head, each warp kWarpQueries of them, and walks over all keys, kKeys at a
// time. A warp keeps its queries, scores and sums in registers. While one tile of keys and values is computed the next
// arrives; the queries come in through the place of the second.
template <int kWidth_, int kWarpQueries_, int kKeys_>
struct ForwardTile {
  static constexpr int kWidth = kWidth_, kWarpQueries = kWarpQueries_, kKeys = kKeys_;
  static constexpr int kWarps = 4, kThreads = kWarps * 32, kQueries = kWarps * kWarpQueries;
  static constexpr int kStageRows = 2 * kKeys;  // keys, then values
  static constexpr int kSharedRows = kStageRows + (kStageRows > kQueries ? kStageRows : kQueries);
  static constexpr int kSharedBytes = kSharedRows * kWidth * 2;
};

struct Arguments {
  TokenRows<bf16> q, k, v;
  Global<bf16> o;
  int64_t o_stride;
  Global<float> lse;
  int heads, head_size;
  bool causal;
  float scale;
};

constexpr float kLog2E = 1.44269504f;

// The softmax of a warp's rows, tile by tile: the largest score so far, and the sum of the exponentials against it,
// each lane having those of its own columns. Row `half` of row tile i is that of registers 2 half and 2 half + 1.
template <int MI>
struct OnlineSoftmax {
  float largest[MI][2], sum[MI][2];

  __device__ __forceinline__ void clear() {
    LORIKEET_UNROLL for (int i = 0; i < MI; i++) {
      LORIKEET_UNROLL for (int half = 0; half < 2; half++) {
        largest[i][half] = -INFINITY;
        sum[i][half] = 0.0f;
      }
    }
  }

  // Scores become exponentials; `values`, what was summed up so far, is brought to the same base. Every row has seen a
  // score by the end of the first tile.
  template <int NI, class Sums>
  __device__ __forceinline__ void add_tile(float (&scores)[MI][NI][4], float scale_log2, Sums& values) {
    LORIKEET_UNROLL for (int i = 0; i < MI; i++) {
      LORIKEET_UNROLL for (int half = 0; half < 2; half++) {
        float top = largest[i][half];
        LORIKEET_UNROLL for (int j = 0; j < NI; j++) {
          top = fmaxf(top, fmaxf(scores[i][j][2 * half], scores[i][j][2 * half + 1]));
        }
        top = fmaxf(top, shuffle_xor(top, 1));
        top = fmaxf(top, shuffle_xor(top, 2));
        const float correction = exp2_approx((largest[i][half] - top) * scale_log2);
        const float base = -top * scale_log2;
        float own = 0.0f;
        LORIKEET_UNROLL for (int j = 0; j < NI; j++) {
          LORIKEET_UNROLL for (int e = 0; e < 2; e++) {
            float& score = scores[i][j][2 * half + e];
            score = exp2_approx(fmaf(score, scale_log2, base));
            own += score;
          }
        }
        largest[i][half] = top;
        sum[i][half] = sum[i][half] * correction + own;
        values.multiply_row(i, half, correction);
      }
    }
  }

  __device__ __forceinline__ float total(int i, int half) const {
    const float pair = sum[i][half] + shuffle_xor(sum[i][half], 1);
    return pair + shuffle_xor(pair, 2);
  }
};

template <class Tile>
__global__ void __launch_bounds__(Tile::kThreads) attention_kernel(Arguments p) {
  constexpr int MI = Tile::kWarpQueries / 16, NI = Tile::kKeys / 8, kSteps = Tile::kWidth / 16;
  using Rows = RowTile<Tile::kWidth>;
  const int lane = static_cast<int>(threadIdx.x) % 32, warp = static_cast<int>(threadIdx.x) / 32;
  const int head = static_cast<int>(blockIdx.y), sample = static_cast<int>(blockIdx.z);
  const int block_query = static_cast<int>(blockIdx.x) * Tile::kQueries;
  const int query = block_query + warp * Tile::kWarpQueries;  // first of the warp
  const HeadRows<bf16> q = p.q.head(sample, head, p.head_size);
  const HeadRows<bf16> k = p.k.head(sample, head, p.head_size), v = p.v.head(sample, head, p.head_size);
  const int seen = p.causal && block_query + Tile::kQueries < k.rows ? block_query + Tile::kQueries : k.rows;
  const int tiles = (seen + Tile::kKeys - 1) / Tile::kKeys;

  const Shared<bf16> shared = dynamic_shared<bf16>("tiles", 0, Tile::kSharedRows * Tile::kWidth);
  const auto load_tile = [&](int tile) {
    const Shared<bf16> stage = shared + tile % 2 * Tile::kStageRows * Tile::kWidth;
    Rows::template load_rows<Tile::kKeys, Tile::kThreads>(k, tile * Tile::kKeys, stage);
    Rows::template load_rows<Tile::kKeys, Tile::kThreads>(v, tile * Tile::kKeys, stage + Tile::kKeys * Tile::kWidth);
    commit_async();
  };
  const Shared<bf16> shared_q = shared + Tile::kStageRows * Tile::kWidth;
  Rows::template load_rows<Tile::kQueries, Tile::kThreads>(q, block_query, shared_q);
  commit_async();
  load_tile(0);
  wait_async<1>();
  sync_block();
  uint32_t q_fragments[kSteps][MI][4];
  LORIKEET_UNROLL for (int kk = 0; kk < kSteps; kk++) {
    LORIKEET_UNROLL for (int i = 0; i < MI; i++) {
      Rows::load_a(q_fragments[kk][i], shared_q, warp * Tile::kWarpQueries + i * 16, kk);
    }
  }

  OnlineSoftmax<MI> softmax;
  RowSums<Tile::kWarpQueries, Tile::kWidth> sums;
  softmax.clear();
  sums.clear();
  for (int tile = 0; tile < tiles; tile++) {
    // The barrier tells that this tile has arrived for all threads, and that all are done with what the next replaces.
    wait_async<0>();
    sync_block();
    if (tile + 1 < tiles) load_tile(tile + 1);
    const Shared<bf16> stage = shared + tile % 2 * Tile::kStageRows * Tile::kWidth;

    float scores[MI][NI][4];
    LORIKEET_UNROLL for (int i = 0; i < MI; i++) {
      LORIKEET_UNROLL for (int j = 0; j < NI; j++) {
        LORIKEET_UNROLL for (int reg = 0; reg < 4; reg++) scores[i][j][reg] = 0.0f;
      }
    }
    LORIKEET_UNROLL for (int kk = 0; kk < kSteps; kk++) {
      uint32_t b[NI][2];
      Rows::load_b(b, stage, 0, kk);
      multiply_add<M16N8K16, MI, NI>(scores, q_fragments[kk], b);
    }

    const int key = tile * Tile::kKeys;
    if (key + Tile::kKeys > k.rows || (p.causal && key + Tile::kKeys - 1 > query)) {
      LORIKEET_UNROLL for (int i = 0; i < MI; i++) {
        LORIKEET_UNROLL for (int j = 0; j < NI; j++) {
          LORIKEET_UNROLL for (int reg = 0; reg < 4; reg++) {
            const Position at = M16N8K16::c(lane, reg);
            const int column = key + j * 8 + at.column;
            if (column >= k.rows || (p.causal && column > query + i * 16 + at.row)) scores[i][j][reg] = -INFINITY;
          }
        }
      }
    }
    softmax.add_tile(scores, p.scale * kLog2E, sums);
    LORIKEET_UNROLL for (int kk = 0; kk < Tile::kKeys / 16; kk++) {
      uint32_t a[MI][4];
      pack_as_a(a, scores, kk);
      sums.add_product(a, stage + Tile::kKeys * Tile::kWidth, kk * 16);
    }
  }

  const int64_t head_row = (static_cast<int64_t>(sample) * p.heads + head) * q.rows;
  LORIKEET_UNROLL for (int i = 0; i < MI; i++) {
    LORIKEET_UNROLL for (int half = 0; half < 2; half++) {
      const float total = softmax.total(i, half);
      const int row = query + i * 16 + M16N8K16::c(lane, 2 * half).row;
      sums.multiply_row(i, half, 1.0f / total);
      if (lane % 4 == 0 && row < q.rows) {
        store(p.lse, head_row + row, softmax.largest[i][half] * p.scale + logf(total));
      }
    }
  }
  sync_block();
  const int64_t first = (static_cast<int64_t>(sample) * q.rows + query) * p.o_stride + head * p.head_size;
  write_rows(sums, p.o + first, p.o_stride, q.rows - query, p.head_size,
             shared + warp * Tile::kWarpQueries * Tile::kWidth);
}

template <class Tile>
void start(const Attention<bf16>& p, Stream stream) {
  LaunchShape shape;
  shape.grid = dim3(blocks_for(p.queries, Tile::kQueries), p.heads, p.batch);
  shape.block = dim3(Tile::kThreads);
  shape.shared_bytes = Tile::kSharedBytes;
  const Arguments arguments{{p.q.data, p.q.stride, p.queries},
                            {p.k.data, p.k.stride, p.keys},
                            {p.v.data, p.v.stride, p.keys},
                            p.o.data,
                            p.o.stride,
                            p.lse,
                            p.heads,
                            p.head_size,
                            p.causal,
                            p.scale};
  launch("attention", &attention_kernel<Tile>, shape, stream, arguments);
}

}  // namespace

void launch_attention(const Attention<bf16>& p, Stream stream) {
  if (p.batch == 0 || p.heads == 0 || p.queries == 0) return;
  require_tensor_cores(p);
  // Warps of 32 queries read every key half as often as those of 16, where their registers suffice.
  if (p.head_size <= 48) return start<ForwardTile<48, 32, 64>>(p, stream);
  if (p.head_size <= 64) return start<ForwardTile<64, 32, 32>>(p, stream);
  if (p.head_size <= 80) return start<ForwardTile<80, 32, 32>>(p, stream);
  if (p.head_size <= 128) return start<ForwardTile<128, 16, 32>>(p, stream);
  start<ForwardTile<160, 16, 32>>(p, stream);
}

}  // namespace LORIKEET_CUDA
