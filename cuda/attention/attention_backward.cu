#include "attention_backward.h"

#include <algorithm>
#include <cmath>

#include "../launch.cuh"
#include "checks.h"
#include "rows.cuh"

namespace LORIKEET_CUDA {
namespace {

constexpr float kLog2E = 1.44269504f;
constexpr int kWarps = 4, kThreads = kWarps * 32;

// A block keeps the rows that its results belong to in shared memory, kWarpRows a warp, and walks over the rows of the
// other side kStepRows at a time; the next arrive while these are computed. dq: own rows of q and do, steps of k and v.
// dk and dv: own rows of k and v, steps of q and do.
template <int kWidth_, int kWarpRows_, int kStepRows_>
struct BackwardTile {
  static constexpr int kWidth = kWidth_, kWarpRows = kWarpRows_, kStepRows = kStepRows_;
  static constexpr int MI = kWarpRows / 16, NI = kStepRows / 8;
  static constexpr int kOwnRows = kWarps * kWarpRows;
  static constexpr int kSharedRows = 2 * kOwnRows + 4 * kStepRows;
  static constexpr int kSharedBytes = kSharedRows * kWidth * 2;
  using Rows = RowTile<kWidth>;
  using Scores = float[MI][NI][4];
};

struct Arguments {
  TokenRows<bf16> q, k, v, d_o;
  Global<const float> lse, delta;
  int heads, head_size;
  bool causal;
  float scale;
};

// What one block of either kernel works with: two tensors whose rows it owns, two that it walks over.
template <class Tile>
struct Walk {
  using Rows = typename Tile::Rows;
  Shared<bf16> own, steps;
  HeadRows<bf16> first, second;  // of the walk

  __device__ __forceinline__ Shared<bf16> own_second() const { return own + Tile::kOwnRows * Tile::kWidth; }
  __device__ __forceinline__ Shared<bf16> step(int tile) const {
    return steps + tile % 2 * 2 * Tile::kStepRows * Tile::kWidth;
  }
  __device__ __forceinline__ Shared<bf16> step_second(int tile) const {
    return step(tile) + Tile::kStepRows * Tile::kWidth;
  }
  __device__ __forceinline__ void load_own(const HeadRows<bf16>& one, const HeadRows<bf16>& other, int row) const {
    Rows::template load_rows<Tile::kOwnRows, kThreads>(one, row, own);
    Rows::template load_rows<Tile::kOwnRows, kThreads>(other, row, own_second());
  }
  __device__ __forceinline__ void load_step(int tile) const {
    Rows::template load_rows<Tile::kStepRows, kThreads>(first, tile * Tile::kStepRows, step(tile));
    Rows::template load_rows<Tile::kStepRows, kThreads>(second, tile * Tile::kStepRows, step_second(tile));
    commit_async();
  }
};

// A warp's own rows, from `row` on, times the transpose of the rows of a step.
template <class Tile>
__device__ __forceinline__ void multiply_rows(typename Tile::Scores& c, Shared<bf16> own, int row, Shared<bf16> step) {
  LORIKEET_UNROLL for (int i = 0; i < Tile::MI; i++) {
    LORIKEET_UNROLL for (int j = 0; j < Tile::NI; j++) {
      LORIKEET_UNROLL for (int reg = 0; reg < 4; reg++) c[i][j][reg] = 0.0f;
    }
  }
  LORIKEET_UNROLL for (int kk = 0; kk < Tile::kWidth / 16; kk++) {
    uint32_t a[Tile::MI][4], b[Tile::NI][2];
    LORIKEET_UNROLL for (int i = 0; i < Tile::MI; i++) Tile::Rows::load_a(a[i], own, row + i * 16, kk);
    Tile::Rows::load_b(b, step, 0, kk);
    multiply_add<M16N8K16, Tile::MI, Tile::NI>(c, a, b);
  }
}

// sums += c times the rows of a step.
template <class Tile, class Sums>
__device__ __forceinline__ void add_products(Sums& sums, const typename Tile::Scores& c, Shared<bf16> step) {
  LORIKEET_UNROLL for (int kk = 0; kk < Tile::kStepRows / 16; kk++) {
    uint32_t a[Tile::MI][4];
    pack_as_a(a, c, kk);
    sums.add_product(a, step, kk * 16);
  }
}

template <class Tile>
using TileSums = RowSums<Tile::kWarpRows, Tile::kWidth>;

template <class Tile>
__device__ __forceinline__ void write_scaled(TileSums<Tile>& sums, float scale, Global<bf16> to, int64_t stride,
                                             int rows, int columns, Shared<bf16> stage) {
  LORIKEET_UNROLL for (int i = 0; i < Tile::MI; i++) {
    LORIKEET_UNROLL for (int half = 0; half < 2; half++) sums.multiply_row(i, half, scale);
  }
  write_rows(sums, to, stride, rows, columns, stage);
}

template <class Tile>
__global__ void __launch_bounds__(kThreads) attention_dq_kernel(Arguments p, Global<bf16> dq, int64_t dq_stride) {
  constexpr int MI = Tile::MI, NI = Tile::NI;
  const int lane = static_cast<int>(threadIdx.x) % 32, warp = static_cast<int>(threadIdx.x) / 32;
  const int head = static_cast<int>(blockIdx.y), sample = static_cast<int>(blockIdx.z);
  const int block_query = static_cast<int>(blockIdx.x) * Tile::kOwnRows, own_row = warp * Tile::kWarpRows;
  const int query = block_query + own_row, queries = p.q.rows, keys = p.k.rows;
  const int seen = p.causal && block_query + Tile::kOwnRows < keys ? block_query + Tile::kOwnRows : keys;
  const int tiles = (seen + Tile::kStepRows - 1) / Tile::kStepRows;
  const Shared<bf16> shared = dynamic_shared<bf16>("tiles", 0, Tile::kSharedRows * Tile::kWidth);
  const Walk<Tile> walk{shared, shared + 2 * Tile::kOwnRows * Tile::kWidth, p.k.head(sample, head, p.head_size),
                        p.v.head(sample, head, p.head_size)};
  walk.load_own(p.q.head(sample, head, p.head_size), p.d_o.head(sample, head, p.head_size), block_query);
  walk.load_step(0);

  // Rows behind the end have no probability.
  const int64_t head_row = (static_cast<int64_t>(sample) * p.heads + head) * queries;
  float lse[MI][2], delta[MI][2];
  LORIKEET_UNROLL for (int i = 0; i < MI; i++) {
    LORIKEET_UNROLL for (int half = 0; half < 2; half++) {
      const int row = query + i * 16 + M16N8K16::c(lane, 2 * half).row;
      lse[i][half] = row < queries ? load(p.lse, head_row + row) * kLog2E : INFINITY;
      delta[i][half] = row < queries ? load(p.delta, head_row + row) : 0.0f;
    }
  }
  TileSums<Tile> sums;
  sums.clear();
  for (int tile = 0; tile < tiles; tile++) {
    wait_async<0>();
    sync_block();
    if (tile + 1 < tiles) walk.load_step(tile + 1);
    typename Tile::Scores s, ds;
    multiply_rows<Tile>(s, walk.own, own_row, walk.step(tile));
    multiply_rows<Tile>(ds, walk.own_second(), own_row, walk.step_second(tile));
    LORIKEET_UNROLL for (int i = 0; i < MI; i++) {
      LORIKEET_UNROLL for (int j = 0; j < NI; j++) {
        LORIKEET_UNROLL for (int reg = 0; reg < 4; reg++) {
          const Position at = M16N8K16::c(lane, reg);
          const int key = tile * Tile::kStepRows + j * 8 + at.column;
          const bool visible = key < keys && (!p.causal || key <= query + i * 16 + at.row);
          const float probability = exp2_approx(fmaf(s[i][j][reg], p.scale * kLog2E, -lse[i][reg / 2]));
          ds[i][j][reg] = visible ? probability * (ds[i][j][reg] - delta[i][reg / 2]) : 0.0f;
        }
      }
    }
    add_products<Tile>(sums, ds, walk.step(tile));
  }
  // The warp's own rows of q are read by no other.
  sync_warp();
  const int64_t first = (static_cast<int64_t>(sample) * queries + query) * dq_stride + head * p.head_size;
  write_scaled<Tile>(sums, p.scale, dq + first, dq_stride, queries - query, p.head_size,
                     walk.own + own_row * Tile::kWidth);
}

struct KeyGradients {
  Global<bf16> dk, dv;
  int64_t dk_stride, dv_stride;
  // Where queries are cut into parts: [parts, 2, batch, keys, heads * head_size], of dk and of dv.
  Global<float> sums;
  int part_steps;
};

// A warp's sums as they are, straight from registers: the two columns that a lane holds of a row, with those of its
// three neighbours, are a sector.
template <class Tile>
__device__ __forceinline__ void write_part(TileSums<Tile>& sums, Global<float> to, int64_t stride, int rows,
                                           int columns) {
  const int lane = static_cast<int>(threadIdx.x) % 32;
  LORIKEET_UNROLL for (int i = 0; i < Tile::MI; i++) {
    LORIKEET_UNROLL for (int reg = 0; reg < 4; reg += 2) {
      const Position at = M16N8K16::c(lane, reg);
      const int row = i * 16 + at.row;
      LORIKEET_UNROLL for (int j = 0; j < Tile::kWidth / 8; j++) {
        if (row >= rows || j * 8 >= columns) continue;
        store_vector(to, row * stride + j * 8 + at.column, Vector<float, 2>{{sums(i, j, reg), sums(i, j, reg + 1)}});
      }
    }
  }
}

// Scores transposed: rows are keys, columns queries. With kParts blocks are, in x, the tiles of keys for one part of
// the queries after another; causal has none. That is a kernel of its own, since what it takes would cost the other
// registers, and with them blocks of a multiprocessor.
template <class Tile, bool kParts>
__global__ void __launch_bounds__(kThreads, kParts ? 1 : 0) attention_dkv_kernel(Arguments p, KeyGradients to) {
  constexpr int MI = Tile::MI, NI = Tile::NI;
  const int lane = static_cast<int>(threadIdx.x) % 32, warp = static_cast<int>(threadIdx.x) / 32;
  const int head = static_cast<int>(blockIdx.y), sample = static_cast<int>(blockIdx.z);
  const int queries = p.q.rows, keys = p.k.rows;
  const int key_tiles = (keys + Tile::kOwnRows - 1) / Tile::kOwnRows;
  const int part = kParts ? static_cast<int>(blockIdx.x) / key_tiles : 0;
  const int block_key = (static_cast<int>(blockIdx.x) - part * key_tiles) * Tile::kOwnRows;
  const int own_row = warp * Tile::kWarpRows, key = block_key + own_row;
  int start = p.causal ? block_key / Tile::kStepRows : 0;  // earlier queries see none of these keys
  int tiles = (queries + Tile::kStepRows - 1) / Tile::kStepRows;
  if (kParts) {
    start = part * to.part_steps;
    tiles = start + to.part_steps < tiles ? start + to.part_steps : tiles;
  }
  const Shared<bf16> shared = dynamic_shared<bf16>("tiles", 0, Tile::kSharedRows * Tile::kWidth);
  const Walk<Tile> walk{shared, shared + 2 * Tile::kOwnRows * Tile::kWidth, p.q.head(sample, head, p.head_size),
                        p.d_o.head(sample, head, p.head_size)};
  const int64_t head_row = (static_cast<int64_t>(sample) * p.heads + head) * queries;
  TileSums<Tile> dk, dv;
  dk.clear();
  dv.clear();
  if (start < tiles) {
    walk.load_own(p.k.head(sample, head, p.head_size), p.v.head(sample, head, p.head_size), block_key);
    walk.load_step(start);
  }
  for (int tile = start; tile < tiles; tile++) {
    wait_async<0>();
    sync_block();
    if (tile + 1 < tiles) walk.load_step(tile + 1);
    typename Tile::Scores s, ds;
    multiply_rows<Tile>(s, walk.own, own_row, walk.step(tile));
    multiply_rows<Tile>(ds, walk.own_second(), own_row, walk.step_second(tile));
    LORIKEET_UNROLL for (int j = 0; j < NI; j++) {
      LORIKEET_UNROLL for (int e = 0; e < 2; e++) {
        const int query = tile * Tile::kStepRows + j * 8 + M16N8K16::c(lane, e).column;
        const bool inside = query < queries;
        const float lse = inside ? load(p.lse, head_row + query) * kLog2E : INFINITY;
        const float delta = inside ? load(p.delta, head_row + query) : 0.0f;
        LORIKEET_UNROLL for (int i = 0; i < MI; i++) {
          LORIKEET_UNROLL for (int reg = e; reg < 4; reg += 2) {
            const bool visible = kParts || !p.causal || key + i * 16 + M16N8K16::c(lane, reg).row <= query;
            const float probability =
                visible ? exp2_approx(fmaf(s[i][j][reg], p.scale * kLog2E, -lse)) : 0.0f;
            s[i][j][reg] = probability;
            ds[i][j][reg] = probability * (ds[i][j][reg] - delta);
          }
        }
      }
    }
    add_products<Tile>(dv, s, walk.step_second(tile));
    add_products<Tile>(dk, ds, walk.step(tile));
  }
  const int64_t row = static_cast<int64_t>(sample) * keys + key;
  const int column = head * p.head_size;
  if (kParts) {
    const int64_t width = static_cast<int64_t>(p.heads) * p.head_size, rows = static_cast<int64_t>(gridDim.z) * keys;
    const int64_t at = (2 * part * rows + row) * width + column;
    write_part<Tile>(dk, to.sums + at, width, keys - key, p.head_size);
    write_part<Tile>(dv, to.sums + (at + rows * width), width, keys - key, p.head_size);
    return;
  }
  // The warp's own rows of k and v are read by no other.
  sync_warp();
  if (to.dk) {
    write_scaled<Tile>(dk, p.scale, to.dk + (row * to.dk_stride + column), to.dk_stride, keys - key, p.head_size,
                       walk.own + own_row * Tile::kWidth);
  }
  if (to.dv) {
    write_rows(dv, to.dv + (row * to.dv_stride + column), to.dv_stride, keys - key, p.head_size,
               walk.own_second() + own_row * Tile::kWidth);
  }
}

// The sums of the parts in their order, four columns a thread. Blocks: y 0 for dk, 1 for dv.
__global__ void __launch_bounds__(kThreads) attention_dkv_add_kernel(KeyGradients to, int parts, int64_t rows,
                                                                     int64_t width, float scale) {
  const Global<bf16> gradient = blockIdx.y == 0 ? to.dk : to.dv;
  const int64_t stride = blockIdx.y == 0 ? to.dk_stride : to.dv_stride, count = rows * width;
  const int64_t i = (static_cast<int64_t>(blockIdx.x) * kThreads + threadIdx.x) * 4;
  if (i >= count || !gradient) return;
  float sum[4] = {};
  for (int part = 0; part < parts; part++) {
    const Vector<float, 4> own = load_vector<4>(to.sums, (2 * part + blockIdx.y) * count + i);
    LORIKEET_UNROLL for (int e = 0; e < 4; e++) sum[e] += own[e];
  }
  const float factor = blockIdx.y == 0 ? scale : 1.0f;
  Vector<bf16, 4> result;
  LORIKEET_UNROLL for (int e = 0; e < 4; e++) result[e] = from_float<bf16>(sum[e] * factor);
  const int64_t row = i / width;
  store_vector(gradient, row * stride + (i - row * width), result);
}

// Four lanes a row of a head.
__global__ void __launch_bounds__(kThreads) attention_delta_kernel(TokenRows<bf16> o, TokenRows<bf16> d_o,
                                                                   Global<float> delta, int heads, int head_size) {
  const int row = static_cast<int>(blockIdx.x * kThreads + threadIdx.x) / 4, part = static_cast<int>(threadIdx.x) % 4;
  const int head = static_cast<int>(blockIdx.y), sample = static_cast<int>(blockIdx.z);
  const HeadRows<bf16> one = o.head(sample, head, head_size), other = d_o.head(sample, head, head_size);
  float sum = 0.0f;
  if (row < o.rows) {
    for (int column = part * 8; column < head_size; column += 32) {
      const Vector<bf16, 8> x = load_vector<8>(one.data, row * one.stride + column);
      const Vector<bf16, 8> y = load_vector<8>(other.data, row * other.stride + column);
      LORIKEET_UNROLL for (int e = 0; e < 8; e++) sum += to_float(x[e]) * to_float(y[e]);
    }
  }
  sum += shuffle_xor(sum, 1);
  sum += shuffle_xor(sum, 2);
  if (part == 0 && row < o.rows) {
    store(delta, (static_cast<int64_t>(sample) * heads + head) * o.rows + row, sum);
  }
}

LaunchShape shape_for(const AttentionBackward<bf16>& p, int rows, int block_rows, int shared_bytes) {
  LaunchShape shape;
  shape.grid = dim3(blocks_for(rows, block_rows), p.heads, p.batch);
  shape.block = dim3(kThreads);
  shape.shared_bytes = shared_bytes;
  return shape;
}

// Wider heads leave no registers for what parts take.
template <class Tile>
constexpr bool kHasParts = Tile::kWidth <= 80;

// Steps of a part of the queries, for dk and dv. Few keys are few blocks, each with all queries to walk over, so these
// are cut into parts, whose sums are added in their order. Their number follows from the shape alone, so that gradients
// have the same bits on every card: as many as make 128 blocks, with as many queries as there are keys or more, since
// their sums cost memory traffic where queries cost work.
template <class Tile>
int part_steps_of(const AttentionBackward<bf16>& p) {
  constexpr int kBlocks = 128, kLeastRows = 64;
  const int steps = static_cast<int>(blocks_for(p.queries, Tile::kStepRows));
  if (p.causal || !kHasParts<Tile>) return steps;
  const int64_t blocks = static_cast<int64_t>(p.batch) * p.heads * blocks_for(p.keys, Tile::kOwnRows);
  const int64_t most = p.queries / std::max(p.keys, kLeastRows);
  return static_cast<int>(blocks_for(steps, std::max<int64_t>(1, std::min(kBlocks / blocks, most))));
}

template <class Tile>
int parts_of(const AttentionBackward<bf16>& p) {
  return static_cast<int>(blocks_for(blocks_for(p.queries, Tile::kStepRows), part_steps_of<Tile>(p)));
}

template <class QueryTile, class KeyTile>
void start(const AttentionBackward<bf16>& p, Stream stream) {
  const TokenRows<bf16> o{p.o.data, p.o.stride, p.queries}, d_o{p.d_o.data, p.d_o.stride, p.queries};
  launch("attention_delta", &attention_delta_kernel, shape_for(p, p.queries, kThreads / 4, 0), stream, o, d_o, p.delta,
         p.heads, p.head_size);
  const Arguments arguments{{p.q.data, p.q.stride, p.queries},
                            {p.k.data, p.k.stride, p.keys},
                            {p.v.data, p.v.stride, p.keys},
                            d_o,
                            p.lse,
                            p.delta,
                            p.heads,
                            p.head_size,
                            p.causal,
                            p.scale};
  if (p.dq.data) {
    const LaunchShape shape = shape_for(p, p.queries, QueryTile::kOwnRows, QueryTile::kSharedBytes);
    launch("attention_dq", &attention_dq_kernel<QueryTile>, shape, stream, arguments, p.dq.data, p.dq.stride);
  }
  if (!p.dk.data && !p.dv.data) return;
  const int steps = part_steps_of<KeyTile>(p), parts = parts_of<KeyTile>(p);
  const KeyGradients to{p.dk.data, p.dv.data, p.dk.stride, p.dv.stride, parts > 1 ? p.sums : nullptr, steps};
  LaunchShape shape = shape_for(p, p.keys, KeyTile::kOwnRows, KeyTile::kSharedBytes);
  if (parts == 1) {
    launch("attention_dkv", &attention_dkv_kernel<KeyTile, false>, shape, stream, arguments, to);
    return;
  }
  if (!p.sums) throw std::invalid_argument("attention_backward: parts need room for their sums");
  shape.grid.x *= parts;
  launch("attention_dkv", &attention_dkv_kernel<KeyTile, kHasParts<KeyTile>>, shape, stream, arguments, to);
  const int64_t rows = static_cast<int64_t>(p.batch) * p.keys, width = static_cast<int64_t>(p.heads) * p.head_size;
  shape.grid = dim3(blocks_for(rows * width, 4 * kThreads), 2);
  shape.shared_bytes = 0;
  launch("attention_dkv_add", &attention_dkv_add_kernel, shape, stream, to, parts, rows, width, p.scale);
}

// act(the tile of dq, the tile of dk and dv): as large as registers allow without a spill on any card.
template <class Act>
auto with_tiles(int head_size, const Act& act) {
  if (head_size <= 48) return act(BackwardTile<48, 32, 32>{}, BackwardTile<48, 32, 16>{});
  if (head_size <= 64) return act(BackwardTile<64, 32, 32>{}, BackwardTile<64, 16, 32>{});
  if (head_size <= 80) return act(BackwardTile<80, 16, 32>{}, BackwardTile<80, 16, 32>{});
  if (head_size <= 128) return act(BackwardTile<128, 16, 32>{}, BackwardTile<128, 16, 16>{});
  return act(BackwardTile<160, 16, 32>{}, BackwardTile<160, 16, 16>{});
}

}  // namespace

int64_t attention_backward_sums(const AttentionBackward<bf16>& p) {
  if (p.head_size > kWidestTensorHead || p.batch == 0 || p.heads == 0 || p.queries == 0 || p.keys == 0) return 0;
  const int64_t parts = with_tiles(p.head_size, [&](auto, auto tile) { return parts_of<decltype(tile)>(p); });
  return parts == 1 ? 0 : parts * 2 * p.batch * p.keys * p.heads * p.head_size;
}

void launch_attention_backward(const AttentionBackward<bf16>& p, Stream stream) {
  if (p.batch == 0 || p.heads == 0 || p.queries == 0) return;
  require_tensor_cores(p);
  with_tiles(p.head_size, [&](auto of_queries, auto of_keys) {
    start<decltype(of_queries), decltype(of_keys)>(p, stream);
  });
}

}  // namespace LORIKEET_CUDA
