// attention_backward: the gradients of q, k and v. Probabilities are computed again from the scores and their
// log-sum-exp (attention/backward.inc.h), a tile of keys at a time.
//
// A tile of keys yields its rows of dk and dv whole, and a share of every row of dq. The key tiles of a head are cut
// into parts, whose number follows from the shapes alone; within a part the shares of dq are added up in order, and in
// the end the parts are. So the result has the same bits for any number of threads.
#include <omp.h>

#include "../attention/problem.h"
#include "../elementwise.h"

namespace lorikeet::cpu {
namespace {

using namespace attention;

// With so many pieces of work in all, common numbers of threads have something to do.
constexpr int64_t kPieces = 16;
// More parts of dq than fit here cost more memory than they are worth (one head of 4096 x 512 makes 8 MB a part).
constexpr int64_t kPartBytes = 32 << 20;

class AttentionBackward final : public Kernel {
 public:
  AttentionBackward(const Problem& problem, bool wants_dq, Scratch& scratch)
      : problem_(problem), ops_(tile_ops(problem.dtype)), scratch_(scratch), threads_(thread_count()) {
    const Problem& p = problem_;
    row_units_ = p.queries * ops_.units(p.head_size);
    tiles_ = tiling(p.keys, ops_.width_step());
    column_units_ = p.query_blocks() * ops_.column_block_units(p.head_size);
    dq_floats_ = p.queries * ops_.padded(p.head_size);
    parts_ = (kPieces + p.total_heads() - 1) / std::max<int64_t>(1, p.total_heads());
    parts_ = std::min({parts_, kPartBytes / std::max<int64_t>(1, dq_floats_ * 4), tiles_.count});
    parts_ = std::max<int64_t>(1, parts_);
    if (!wants_dq) dq_floats_ = 0;
    head_floats_ = (2 * row_units_ + 2 * column_units_ + p.queries + parts_ * dq_floats_ + 15) / 16 * 16;
    tile_floats_ = (ops_.backward_scratch(p.head_size) + 15) / 16 * 16;
    group_ = heads_at_once(p.total_heads(), head_floats_ * 4, threads_);
    scratch.reserve((threads_ * tile_floats_ + group_ * head_floats_) * 4);
  }

  void run(const Operands& operands) override {
    require(thread_count() <= threads_, "attention_backward: compiled for ", threads_, " threads, run with ",
            thread_count());
    const Problem& p = problem_;
    for (int64_t first = 0; first < p.total_heads(); first += group_) {
      const int64_t heads = std::min(group_, p.total_heads() - first);
      const int64_t blocks = p.query_blocks();
      parallel_for(heads * blocks, 4, [&](int64_t begin, int64_t end) {
        for (int64_t i = begin; i < end; i++) pack(operands, first, i / blocks, i % blocks);
      });
      parallel_for(heads * parts_, 1, [&](int64_t begin, int64_t end) {
        for (int64_t i = begin; i < end; i++) run_part(operands, first, i / parts_, i % parts_);
      });
      if (dq_floats_ == 0) continue;
      parallel_for(heads * blocks, 8, [&](int64_t begin, int64_t end) {
        for (int64_t i = begin; i < end; i++) write_dq(operands, first, i / blocks, i % blocks * kTile);
      });
    }
  }

 private:
  struct Packed {
    Unit* q_rows;
    Unit* do_rows;
    Unit* q_columns;
    Unit* do_columns;
    float* delta;
    float* dq;  // [parts][queries][padded(D)]
  };

  Packed packed(int64_t slot) const {
    Packed at;
    at.q_rows = static_cast<float*>(scratch_.data()) + threads_ * tile_floats_ + slot * head_floats_;
    at.do_rows = at.q_rows + row_units_;
    at.q_columns = at.do_rows + row_units_;
    at.do_columns = at.q_columns + column_units_;
    at.dq = at.do_columns + column_units_;
    at.delta = at.dq + parts_ * dq_floats_;
    return at;
  }

  const Tensor& input(const Operands& operands, size_t behind) const {
    return operands.inputs[problem_.sources + behind];
  }

  void pack(const Operands& operands, int64_t first, int64_t slot, int64_t block) const {
    const Problem& p = problem_;
    const Packed at = packed(slot);
    const int64_t row = block * kTile, rows = std::min(kTile, p.queries - row), d = p.head_size;
    const AttentionSource plain = {0, p.channels(), 0};
    const Matrix q = p.head(operands.inputs[p.q.operand], p.q, p.queries, first + slot, row);
    const Matrix o = p.head(input(operands, 0), plain, p.queries, first + slot, row);
    const Matrix d_o = p.head(input(operands, 2), plain, p.queries, first + slot, row);
    ops_.pack_rows(q, rows, d, at.q_rows + row * ops_.units(d));
    ops_.pack_rows(d_o, rows, d, at.do_rows + row * ops_.units(d));
    ops_.pack_columns(q, rows, d, at.q_columns + block * ops_.column_block_units(d));
    ops_.pack_columns(d_o, rows, d, at.do_columns + block * ops_.column_block_units(d));
    ops_.row_dots(o, d_o, rows, d, at.delta + row);
  }

  void run_part(const Operands& operands, int64_t first, int64_t slot, int64_t part) const {
    const Problem& p = problem_;
    const Packed at = packed(slot);
    const int64_t head = first + slot;
    BackwardTile tile;
    tile.q_rows = at.q_rows;
    tile.do_rows = at.do_rows;
    tile.q_columns = at.q_columns;
    tile.do_columns = at.do_columns;
    tile.lse = input(operands, 1).as<const float>() + head * p.queries;
    tile.delta = at.delta;
    tile.queries = p.queries;
    tile.head_size = p.head_size;
    tile.causal = p.causal;
    tile.scale = p.scale;
    tile.dq = dq_floats_ > 0 ? at.dq + part * dq_floats_ : nullptr;
    if (tile.dq) std::fill(tile.dq, tile.dq + dq_floats_, 0.0f);
    float* scratch = static_cast<float*>(scratch_.data()) + omp_get_thread_num() * tile_floats_;
    for (int64_t i = part * tiles_.count / parts_; i < (part + 1) * tiles_.count / parts_; i++) {
      tile.first_key = i * tiles_.size;
      tile.keys = std::min(tiles_.size, p.keys - tile.first_key);
      tile.k = p.head(operands.inputs[p.k.operand], p.k, p.keys, head, tile.first_key);
      tile.v = p.head(operands.inputs[p.v.operand], p.v, p.keys, head, tile.first_key);
      tile.dk = gradient(operands, p.k, p.keys, head, tile.first_key);
      tile.dv = gradient(operands, p.v, p.keys, head, tile.first_key);
      ops_.backward(tile, scratch);
    }
  }

  Matrix gradient(const Operands& operands, const AttentionSource& source, int64_t rows, int64_t head,
                  int64_t row) const {
    if (source.operand >= operands.outputs.size() || !operands.outputs[source.operand].data) return {};
    return problem_.head(operands.outputs[source.operand], source, rows, head, row);
  }

  void write_dq(const Operands& operands, int64_t first, int64_t slot, int64_t row) const {
    const Problem& p = problem_;
    const float* dq = packed(slot).dq + row * ops_.padded(p.head_size);
    ops_.sum_parts(dq, parts_, dq_floats_, std::min(kTile, p.queries - row), p.head_size, p.scale,
                   gradient(operands, p.q, p.queries, first + slot, row));
  }

  Problem problem_;
  const TileOps& ops_;
  Scratch& scratch_;
  int64_t threads_;
  Tiling tiles_;                      // of the keys
  int64_t row_units_, column_units_;  // packed q and do, per head
  int64_t dq_floats_;                 // per part; 0 when dq is not wanted
  int64_t parts_;                     // per head
  int64_t head_floats_;               // all of that
  int64_t tile_floats_;               // scratch per thread
  int64_t group_;                     // heads worked on at once
};

std::unique_ptr<Kernel> make_attention_backward(const KernelRequest& request) {
  return std::make_unique<AttentionBackward>(read_attention_backward(request), request.has_output(0), request.scratch);
}

LORIKEET_REGISTER_CPU_KERNEL("attention_backward", make_attention_backward);

}  // namespace
}  // namespace lorikeet::cpu
