// The arithmetic of attention on one tile, behind a table of functions with one implementation per instruction set.
//
// The kernels (kernels/attention.cc, kernels/attention_backward.cc) cut the work into tiles and spread them over the
// threads; a TileOps packs operands and computes one tile on the calling thread, in scratch that it is given.
//
// Units. Packed operands consist of 4-byte units along the axis that a product sums over: one f32, or a pair of bf16
// (`pack` = 1 or 2 values). U(n) is ceil(n / pack) rounded up to a multiple of `unit_step`; what lies beyond n is zero.
//   rows     [R][U(C)]               a matrix as it is: the left operand of a product over its columns
//   columns  [block][C][kTile/pack]  transposed in blocks of 64 rows: the left operand of a product over its rows
//   lanes    [U(C)][width]           transposed: the right operand of a product over its columns, one lane per row
// They are what AMX tiles want, too: only the product itself differs between instruction sets (product.inc.h).
#pragma once

#include <algorithm>
#include <cstdint>

#include "../../core/tensor.h"

namespace lorikeet::cpu::attention {

constexpr int64_t kTile = 64;  // queries of a forward tile, keys of a backward tile, rows of a block in either

// One packed value or pair. Moved as f32 whatever it holds: nothing computes with it before the product.
using Unit = float __attribute__((may_alias));

// One head's columns of q, k, v, o or of their gradients. stride: elements from row to row.
struct Matrix {
  void* data = nullptr;
  int64_t stride = 0;
};

struct ForwardTile {
  Matrix q;               // [queries, D], starting at the tile's first query
  int64_t queries;        // 1..kTile
  int64_t first_query;    // its position, for causal attention
  const Unit* k_rows;     // rows [keys][U(D)]
  const Unit* v_columns;  // columns [block][D][..]
  int64_t keys;
  int64_t head_size;
  bool causal;            // key j takes part for query i where j <= i
  float scale;            // > 0
  Matrix o;               // [queries, D]
  float* lse;             // [queries]
};

struct BackwardTile {
  const Unit* q_rows;      // rows [queries][U(D)]
  const Unit* do_rows;     //   of the gradient of o
  const Unit* q_columns;   // columns [block][D][..]
  const Unit* do_columns;
  const float* lse;        // [queries]
  const float* delta;      // [queries], sum over D of do * o
  int64_t queries;
  int64_t head_size;
  bool causal;
  float scale;
  Matrix k, v;             // [keys, D], starting at the tile's first key
  int64_t keys;            // 1..kTile
  int64_t first_key;
  float* dq;               // [queries][padded(D)]: this tile's share is added, without the factor scale; or null
  Matrix dk, dv;           // [keys, D]; data = null where it is not wanted
};

struct TileOps {
  const char* name;
  int64_t pack;       // values in a unit
  int64_t unit_step;  // products sum over a multiple of so many units
  int64_t lanes;      // columns of right operands and of dq are padded to a multiple of it

  // x [rows, columns] -> layout rows.
  void (*pack_rows)(Matrix x, int64_t rows, int64_t columns, Unit* out);
  // x [rows <= 64, columns] -> one block of layout columns.
  void (*pack_columns)(Matrix x, int64_t rows, int64_t columns, Unit* out);
  // out[r] = sum over columns of a * b.
  void (*row_dots)(Matrix a, Matrix b, int64_t rows, int64_t columns, float* out);
  // y = scale * (x[0] + x[1] + ..): parts [rows][padded(columns)] that lie part_stride floats apart.
  void (*sum_parts)(const float* x, int64_t parts, int64_t part_stride, int64_t rows, int64_t columns, float scale,
                    Matrix y);
  void (*forward)(const ForwardTile& tile, float* scratch);
  void (*backward)(const BackwardTile& tile, float* scratch);

  int64_t units(int64_t values) const {
    const int64_t n = (values + pack - 1) / pack;
    return (n + unit_step - 1) / unit_step * unit_step;
  }
  // Tiles are a multiple of so many lanes wide.
  int64_t width_step() const { return std::max(lanes, unit_step * pack); }
  int64_t padded(int64_t columns) const { return (columns + lanes - 1) / lanes * lanes; }
  int64_t column_block_units(int64_t columns) const { return columns * (kTile / pack); }
  // Floats of scratch that one call uses.
  int64_t forward_scratch(int64_t head_size) const {
    return kTile * (units(head_size) + kTile + kTile / pack + head_size + 1);
  }
  int64_t backward_scratch(int64_t head_size) const {
    return kTile * (2 * units(head_size) + padded(head_size) + 2 * kTile + 3 * (kTile / pack) + 2 * head_size);
  }
};

// The implementation for tensors of this dtype on the processor that we run on: the widest that it has, except that AMX
// tiles are used only when asked for. Throws Error for bf16 on a processor without bf16 arithmetic.
// LORIKEET_CPU_ISA in the environment: generic, avx2 or avx512 hold f32 back to that one; amx lets bf16 use AMX tiles.
const TileOps& tile_ops(DType dtype);

extern const TileOps generic_tile_ops;  // f32
#if defined(__x86_64__)
extern const TileOps avx2_tile_ops;         // f32
extern const TileOps avx512_tile_ops;       // f32
extern const TileOps avx512_bf16_tile_ops;  // bf16
extern const TileOps amx_tile_ops;          // bf16
#endif

}  // namespace lorikeet::cpu::attention
