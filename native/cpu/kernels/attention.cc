// attention: o = softmax(scale q kᵀ) v per head, and the logarithm of the sum in that softmax. Scores are never stored:
// queries are cut into tiles, and each tile runs through all keys (attention/forward.inc.h).
#include <omp.h>

#include "../attention/problem.h"
#include "../elementwise.h"

namespace lorikeet::cpu {
namespace {

using namespace attention;

class Attention final : public Kernel {
 public:
  Attention(const Problem& problem, Scratch& scratch)
      : problem_(problem), ops_(tile_ops(problem.dtype)), scratch_(scratch), threads_(thread_count()) {
    tiles_ = tiling(problem.queries, ops_.width_step());
    k_units_ = problem.keys * ops_.units(problem.head_size);
    v_units_ = problem.key_blocks() * ops_.column_block_units(problem.head_size);
    tile_floats_ = (ops_.forward_scratch(problem.head_size) + 15) / 16 * 16;
    group_ = heads_at_once(problem.total_heads(), (k_units_ + v_units_) * 4, threads_);
    scratch.reserve((threads_ * tile_floats_ + group_ * (k_units_ + v_units_)) * 4);
  }

  void run(const Operands& operands) override {
    require(thread_count() <= threads_, "attention: compiled for ", threads_, " threads, run with ", thread_count());
    for (int64_t first = 0; first < problem_.total_heads(); first += group_) {
      const int64_t heads = std::min(group_, problem_.total_heads() - first);
      pack(operands, first, heads);
      parallel_for(heads * tiles_.count, 1, [&](int64_t begin, int64_t end) {
        for (int64_t i = begin; i < end; i++) {
          run_tile(operands, first, i / tiles_.count, i % tiles_.count * tiles_.size);
        }
      });
    }
  }

 private:
  Unit* k_rows(int64_t slot) const {
    return static_cast<float*>(scratch_.data()) + threads_ * tile_floats_ + slot * (k_units_ + v_units_);
  }
  Unit* v_columns(int64_t slot) const { return k_rows(slot) + k_units_; }

  void pack(const Operands& operands, int64_t first, int64_t heads) const {
    const Problem& p = problem_;
    const int64_t blocks = p.key_blocks();
    parallel_for(heads * blocks, 8, [&](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; i++) {
        const int64_t slot = i / blocks, block = i % blocks, row = block * kTile;
        const int64_t rows = std::min(kTile, p.keys - row);
        const Matrix k = p.head(operands.inputs[p.k.operand], p.k, p.keys, first + slot, row);
        const Matrix v = p.head(operands.inputs[p.v.operand], p.v, p.keys, first + slot, row);
        ops_.pack_rows(k, rows, p.head_size, k_rows(slot) + row * ops_.units(p.head_size));
        ops_.pack_columns(v, rows, p.head_size, v_columns(slot) + block * ops_.column_block_units(p.head_size));
      }
    });
  }

  void run_tile(const Operands& operands, int64_t first, int64_t slot, int64_t row) const {
    const Problem& p = problem_;
    const int64_t head = first + slot;
    ForwardTile tile;
    tile.q = p.head(operands.inputs[p.q.operand], p.q, p.queries, head, row);
    tile.queries = std::min(tiles_.size, p.queries - row);
    tile.first_query = row;
    tile.k_rows = k_rows(slot);
    tile.v_columns = v_columns(slot);
    tile.keys = p.keys;
    tile.head_size = p.head_size;
    tile.causal = p.causal;
    tile.scale = p.scale;
    tile.o = p.head(operands.outputs[0], {0, p.channels(), 0}, p.queries, head, row);
    tile.lse = operands.outputs[1].as<float>() + head * p.queries + row;
    ops_.forward(tile, static_cast<float*>(scratch_.data()) + omp_get_thread_num() * tile_floats_);
  }

  Problem problem_;
  const TileOps& ops_;
  Scratch& scratch_;
  int64_t threads_;
  Tiling tiles_;               // of the queries
  int64_t k_units_, v_units_;  // packed, per head
  int64_t tile_floats_;        // scratch per thread
  int64_t group_;              // heads packed at once
};

std::unique_ptr<Kernel> make_attention(const KernelRequest& request) {
  return std::make_unique<Attention>(read_attention(request), request.scratch);
}

LORIKEET_REGISTER_CPU_KERNEL("attention", make_attention);

}  // namespace
}  // namespace lorikeet::cpu
