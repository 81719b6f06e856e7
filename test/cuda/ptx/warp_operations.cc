// What the lanes of a warp do together: shuffles, votes, matrices; and where they go.
//
// The fragment layouts below are written from the text of the PTX ISA (sections "Matrix Fragments for mma.m16n8k8",
// "... mma.m16n8k16 with floating point type" and "ldmatrix"), not from cuda/fragments.cuh: that the kernels and the
// emulator hold the same layouts as the manual is what is to be checked.
#include "cuda/sim/matrix.h"
#include "operations.h"

namespace lorikeet::ptx {
namespace {

// Bits 0-4 of `c` are the largest lane of a segment, bits 8-12 name the bits of a lane's number that say which segment
// it is in.
enum class Shuffle { up, down, butterfly, index };

template <Shuffle kKind, bool kPair>
void shuffle(Warp& warp, const Instruction& instruction) {
  const auto& at = instruction.operands;
  constexpr int kFirst = kPair ? 2 : 1;
  uint32_t values[32], within = 0;
  for (uint32_t lane = 0; lane < 32; lane++) {
    if (!warp.is_active(lane)) continue;
    const uint32_t b = warp.read<uint32_t>(at[kFirst + 1].slot, lane) & 31;
    const uint32_t c = warp.read<uint32_t>(at[kFirst + 2].slot, lane), segment = c >> 8 & 31;
    const uint32_t last = (lane & segment) | (c & 31 & ~segment), first = lane & segment;
    uint32_t source = 0;
    bool inside = false;
    switch (kKind) {
      case Shuffle::up: source = lane - b, inside = static_cast<int>(source) >= static_cast<int>(last); break;
      case Shuffle::down: source = lane + b, inside = source <= last; break;
      case Shuffle::butterfly: source = lane ^ b, inside = source <= last; break;
      case Shuffle::index: source = first | (b & ~segment), inside = source <= last; break;
    }
    if (!inside) source = lane;
    if (!warp.is_active(source)) {
      warp.fail(instruction, lane, "takes a value from lane " + std::to_string(source) + ", which does not take part");
    }
    within |= static_cast<uint32_t>(inside) << lane;
    values[lane] = warp.read<uint32_t>(at[kFirst].slot, source);
  }
  for (int lane = 0; lane < 32; lane++) {
    if (warp.is_active(lane)) warp.write<uint32_t>(at[0].slot, lane, values[lane]);
  }
  if (kPair) warp.set_mask(at[1].slot, within);
}

template <Shuffle kKind>
void add_shuffle(Table& table, const std::string& name) {
  table.emplace("shfl.sync." + name + ".b32", Overload{"wwwww", &shuffle<kKind, false>, Flow::named});
  table.emplace("shfl.sync." + name + ".b32", Overload{"wpwwww", &shuffle<kKind, true>, Flow::named});
}

enum class Vote { all, any, uniform, ballot };

template <Vote kKind>
void vote(Warp& warp, const Instruction& instruction) {
  const auto& at = instruction.operands;
  const uint32_t votes = warp.mask(at[1].slot);
  uint32_t result = 0;
  for (int lane = 0; lane < 32; lane++) {
    if (!warp.is_active(lane)) continue;
    const uint32_t named = warp.read<uint32_t>(at[2].slot, lane), ours = votes & named;
    const bool all = ours == named, any = ours != 0;
    if constexpr (kKind == Vote::ballot) {
      warp.write<uint32_t>(at[0].slot, lane, ours);
    } else {
      result |= static_cast<uint32_t>(kKind == Vote::all ? all : kKind == Vote::any ? any : all || !any) << lane;
    }
  }
  if (kKind != Vote::ballot) warp.set_mask(at[0].slot, result);
}

void active_mask(Warp& warp, const Instruction& instruction) {
  for (int lane = 0; lane < 32; lane++) {
    if (warp.is_active(lane)) warp.write<uint32_t>(instruction.operands[0].slot, lane, warp.active);
  }
}

float bf16_element(uint32_t reg, int i) {
  const uint32_t bits = i % 2 == 0 ? reg << 16 : reg & 0xffff0000u;
  float value;
  std::memcpy(&value, &bits, 4);
  return value;
}

// D = A B + C with A [16, K] row-major and B [K, 8] column-major in bf16, C and D [16, 8] in f32. A lane holds elements
// a0 to a(K/2-1) of A, b0 to b(K/4-1) of B and c0 to c3 of C, two elements of A or B in a register, the lower first.
template <int kK>
void multiply(Warp& warp, const Instruction& instruction) {
  constexpr int kCountA = kK / 2, kCountB = kK / 4;
  constexpr int kA = 4, kB = kA + kCountA / 2, kC = kB + kCountB / 2;
  const auto& at = instruction.operands;
  float a[16][kK], b[kK][8], c[16][8];
  for (int lane = 0; lane < 32; lane++) {
    const int group = lane >> 2, thread = lane % 4;
    for (int i = 0; i < kCountA; i++) {
      const int row = i < 2 || (4 <= i && i < 6) ? group : group + 8;
      const int column = thread * 2 + (i & 1) + (i < 4 ? 0 : 8);
      a[row][column] = bf16_element(warp.read<uint32_t>(at[kA + i / 2].slot, lane), i);
    }
    for (int i = 0; i < kCountB; i++) {
      const int row = thread * 2 + (i & 1) + (i < 2 ? 0 : 8);
      b[row][group] = bf16_element(warp.read<uint32_t>(at[kB + i / 2].slot, lane), i);
    }
    for (int i = 0; i < 4; i++) {
      c[i < 2 ? group : group + 8][thread * 2 + (i & 1)] = warp.read<float>(at[kC + i].slot, lane);
    }
  }
  sim::multiply_add(&c[0][0], &a[0][0], &b[0][0], 16, 8, kK);
  for (int lane = 0; lane < 32; lane++) {
    const int group = lane >> 2, thread = lane % 4;
    for (int i = 0; i < 4; i++) {
      warp.write<float>(at[i].slot, lane, c[i < 2 ? group : group + 8][thread * 2 + (i & 1)]);
    }
  }
}

// kCount matrices of 8 x 8 elements of 16 bits. Lanes 0-7 bring the addresses of the rows of the first, 8-15 of the
// second and so on. A lane receives of each the two elements 2 (lane % 4) and the next of row lane / 4, or, transposed,
// of column lane / 4.
template <int kCount, bool kTransposed>
void load_matrices(Warp& warp, const Instruction& instruction) {
  uint16_t matrices[kCount][8][8];
  for (int lane = 0; lane < 8 * kCount; lane++) {
    const char* row = warp.locate(instruction, kCount, lane, 16, Space::shared, false);
    std::memcpy(matrices[lane / 8][lane % 8], row, 16);
  }
  for (int lane = 0; lane < 32; lane++) {
    const int line = lane / 4, first = 2 * (lane % 4);
    for (int i = 0; i < kCount; i++) {
      const auto& matrix = matrices[i];
      const uint32_t low = kTransposed ? matrix[first][line] : matrix[line][first];
      const uint32_t high = kTransposed ? matrix[first + 1][line] : matrix[line][first + 1];
      warp.write<uint32_t>(instruction.operands[i].slot, lane, low | high << 16);
    }
  }
}

template <int kCount>
void add_matrix_loads(Table& table) {
  const std::string opcode = "ldmatrix.sync.aligned.m8n8.x" + std::to_string(kCount);
  const std::string operands = std::string(kCount, 'w') + "a";
  table.emplace(opcode + ".shared.b16", Overload{operands, &load_matrices<kCount, false>, Flow::aligned});
  table.emplace(opcode + ".trans.shared.b16", Overload{operands, &load_matrices<kCount, true>, Flow::aligned});
}

void trap(Warp& warp, const Instruction& instruction) {
  warp.fail(instruction, __builtin_ctz(warp.active), "stops the kernel");
}

}  // namespace

void add_warp_operations(Table& table) {
  add_shuffle<Shuffle::up>(table, "up");
  add_shuffle<Shuffle::down>(table, "down");
  add_shuffle<Shuffle::butterfly>(table, "bfly");
  add_shuffle<Shuffle::index>(table, "idx");
  table.emplace("vote.sync.all.pred", Overload{"ppw", &vote<Vote::all>, Flow::named});
  table.emplace("vote.sync.any.pred", Overload{"ppw", &vote<Vote::any>, Flow::named});
  table.emplace("vote.sync.uni.pred", Overload{"ppw", &vote<Vote::uniform>, Flow::named});
  table.emplace("vote.sync.ballot.b32", Overload{"wpw", &vote<Vote::ballot>, Flow::named});
  table.emplace("activemask.b32", Overload{"w", &active_mask});
  table.emplace("bar.warp.sync", Overload{"w", nullptr, Flow::named});
  table.emplace("bar.sync", Overload{"0", nullptr, Flow::barrier});  // only barrier 0, of the whole block

  const std::string mma = "mma.sync.aligned.m16n8k", types = ".row.col.f32.bf16.bf16.f32";
  table.emplace(mma + "16" + types, Overload{std::string(14, 'w'), &multiply<16>, Flow::aligned});
  table.emplace(mma + "8" + types, Overload{std::string(11, 'w'), &multiply<8>, Flow::aligned});
  add_matrix_loads<1>(table);
  add_matrix_loads<2>(table);
  add_matrix_loads<4>(table);

  table.emplace("bra", Overload{"t", nullptr, Flow::branch});
  table.emplace("bra.uni", Overload{"t", nullptr, Flow::branch});
  table.emplace("brx.idx", Overload{"wt", nullptr, Flow::table});
  table.emplace("brx.idx.uni", Overload{"wt", nullptr, Flow::table});
  table.emplace("ret", Overload{"", nullptr, Flow::finish});
  table.emplace("exit", Overload{"", nullptr, Flow::finish});
  table.emplace("trap", Overload{"", &trap, Flow::finish});
}

const Table& operations() {
  static const Table table = [] {
    Table all;
    add_integer_operations(all);
    add_bit_operations(all);
    add_float_operations(all);
    add_conversions(all);
    add_comparisons(all);
    add_memory_operations(all);
    add_warp_operations(all);
    return all;
  }();
  return table;
}

}  // namespace lorikeet::ptx
