// The emulated instructions against plain loops, and the fragment layouts against the formulas of the PTX manual
// (ISA 8.7, "Matrix fragments for mma.m16n8k16 with floating point type", "... mma.m16n8k8", "ldmatrix").
#include "../harness.h"

namespace lorikeet::cuda_sim::test {
namespace {

using sim::Mode;

int lane() { return static_cast<int>(threadIdx.x) % 32; }

// groupID = laneid >> 2, threadID_in_group = laneid % 4, as the manual names them.
int wrong_layouts() {
  int wrong = 0;
  const auto expect = [&](Position at, int row, int column) { wrong += at.row != row || at.column != column; };
  for (int id = 0; id < 32; id++) {
    const int group = id >> 2, thread = id % 4;
    for (int i = 0; i < 8; i++) {  // a0 .. a7
      const int row = (i < 2) || (i >= 4 && i < 6) ? group : group + 8;
      const int column = i < 4 ? thread * 2 + (i & 1) : thread * 2 + (i & 1) + 8;
      expect(M16N8K16::a(id, i / 2, i % 2), row, column);
    }
    for (int i = 0; i < 4; i++) {  // b0 .. b3, then c0 .. c3
      expect(M16N8K16::b(id, i / 2, i % 2), i < 2 ? thread * 2 + (i & 1) : thread * 2 + (i & 1) + 8, group);
      expect(M16N8K16::c(id, i), i < 2 ? group : group + 8, thread * 2 + (i & 1));
      expect(M16N8K8::c(id, i), i < 2 ? group : group + 8, thread * 2 + (i & 1));
      expect(M16N8K8::a(id, i / 2, i % 2), i < 2 ? group : group + 8, thread * 2 + (i & 1));
    }
    for (int i = 0; i < 2; i++) expect(M16N8K8::b(id, 0, i), thread * 2 + (i & 1), group);
  }
  return wrong;
}

// One warp: c[16, 8] += a[16, K] b[K, 8], fragments gathered element by element.
template <class Shape>
void plain_mma(Global<bf16> a, Global<bf16> b, Global<float> c) {
  uint32_t ra[1][Shape::kRegistersA] = {}, rb[1][Shape::kRegistersB] = {};
  float rc[1][1][4];
  for (int half = 0; half < 2; half++) {
    for (int reg = 0; reg < Shape::kRegistersA; reg++) {
      const Position at = Shape::a(lane(), reg, half);
      ra[0][reg] |= static_cast<uint32_t>(load(a, at.row * Shape::kK + at.column).bits) << 16 * half;
    }
    for (int reg = 0; reg < Shape::kRegistersB; reg++) {
      const Position at = Shape::b(lane(), reg, half);
      rb[0][reg] |= static_cast<uint32_t>(load(b, at.row * 8 + at.column).bits) << 16 * half;
    }
  }
  const auto place = [](int reg) { return Shape::c(lane(), reg).row * 8 + Shape::c(lane(), reg).column; };
  for (int reg = 0; reg < 4; reg++) rc[0][0][reg] = load(c, place(reg));
  multiply_add<Shape, 1, 1>(rc, ra, rb);
  for (int reg = 0; reg < 4; reg++) store(c, place(reg), rc[0][0][reg]);
}

// The same with two neighbours in N through ldmatrix, a [16, 16], b [16 n, 16 k] or transposed [16 k, 16 n].
template <bool kTransposed>
void loaded_mma(Global<bf16> a, Global<bf16> b, Global<float> c) {
  LORIKEET_SHARED_ARRAY(bf16, tile_a, 256);
  LORIKEET_SHARED_ARRAY(bf16, tile_b, 256);
  for (int i = 0; i < 8; i++) {
    store(tile_a, lane() * 8 + i, load(a, lane() * 8 + i));
    store(tile_b, lane() * 8 + i, load(b, lane() * 8 + i));
  }
  sync_warp();
  uint32_t ra[1][4], pair[4];
  load_matrices(ra[0], tile_a + address_of_a(lane()).row * 16 + address_of_a(lane()).column * 8);
  const Position at = kTransposed ? address_of_b_pair_transposed(lane()) : address_of_b_pair(lane());
  if (kTransposed) {
    load_matrices_transposed(pair, tile_b + at.row * 16 + at.column * 8);
  } else {
    load_matrices(pair, tile_b + at.row * 16 + at.column * 8);
  }
  const uint32_t rb[2][2] = {{pair[0], pair[1]}, {pair[2], pair[3]}};
  float rc[1][2][4] = {};
  multiply_add<M16N8K16, 1, 2>(rc, ra, rb);
  for (int j = 0; j < 2; j++) {
    for (int reg = 0; reg < 4; reg++) {
      const Position to = M16N8K16::c(lane(), reg);
      store(c, to.row * 16 + j * 8 + to.column, rc[0][j][reg]);
    }
  }
}

// The largest difference from sums in double, relative to the sum of the terms' sizes.
double error_of(const DeviceArray<float>& c, const std::vector<float>& before, const std::function<float(int, int)>& a,
                const std::function<float(int, int)>& b, int n, int k) {
  double worst = 0;
  for (int row = 0; row < 16; row++) {
    for (int column = 0; column < n; column++) {
      double sum = before[row * n + column], size = std::fabs(sum);
      for (int inner = 0; inner < k; inner++) {
        const double term = static_cast<double>(a(row, inner)) * b(inner, column);
        sum += term;
        size += std::fabs(term);
      }
      worst = std::max(worst, std::fabs(c[row * n + column] - sum) / size);
    }
  }
  return worst;
}

template <class Shape>
double test_plain_mma() {
  DeviceArray<bf16> a("a", 16 * Shape::kK), b("b", Shape::kK * 8);
  DeviceArray<float> c("c", 16 * 8);
  Random random(1);
  random.fill(a), random.fill(b), random.fill(c);
  const std::vector<float> before(c.data(), c.data() + c.count());
  launch("mma", &plain_mma<Shape>, {dim3(1), dim3(32)}, Stream(), a.data(), b.data(), c.data());
  return error_of(
      c, before, [&](int m, int k) { return to_float(a[m * Shape::kK + k]); },
      [&](int k, int n) { return to_float(b[k * 8 + n]); }, 8, Shape::kK);
}

template <bool kTransposed>
double test_loaded_mma() {
  DeviceArray<bf16> a("a", 256), b("b", 256);
  DeviceArray<float> c("c", 256);
  Random random(2);
  random.fill(a), random.fill(b);
  launch("mma", &loaded_mma<kTransposed>, {dim3(1), dim3(32)}, Stream(), a.data(), b.data(), c.data());
  return error_of(
      c, std::vector<float>(256, 0.0f), [&](int m, int k) { return to_float(a[m * 16 + k]); },
      [&](int k, int n) { return to_float(kTransposed ? b[k * 16 + n] : b[n * 16 + k]); }, 16, 16);
}

// Shuffles and votes, each compared with what CUDA's documentation says a lane receives.
void exchange(Global<int> wrong) {
  const int own = 100 + lane();
  int bad = 0;
  bad += shuffle_xor(own, 5) != 100 + (lane() ^ 5);
  bad += shuffle_down(own, 3) != (lane() + 3 < 32 ? own + 3 : own);
  bad += shuffle(own, 7) != 107;
  bad += ballot(lane() % 3 == 0) != 0x49249249u;
  bad += !all_of(true) || all_of(lane() != 4) || !any_of(lane() == 4) || any_of(false);
  store(wrong, static_cast<int>(threadIdx.x), bad);
}

// Counting: a warp reads 32 floats a distance apart in global memory, and a column of a shared matrix.
void strided(Global<float> data, int distance, int pitch) {
  const Shared<float> tile = dynamic_shared<float>("tile", 0, 32 * 33);
  for (int row = 0; row < 32; row++) store(tile, row * pitch + lane(), 0.0f);
  sync_warp();
  const float value = load(data, lane() * distance) + load(tile, lane() * pitch);
  store(data, lane() * distance, value);
}

void test_counting(Json& line, int distance, int pitch) {
  DeviceArray<float> data("data", 32 * 32);
  launch("strided", &strided, {dim3(1), dim3(32), 32 * 33 * 4}, Stream(), data.data(), distance, pitch);
  line.raw("counters", json_of(sim::Machine::current().counters().at("strided")));
}

// Half of the lanes have nothing to copy the first time, and 16 bytes the second time as all others.
void copies(Global<const float> data) {
  const Shared<float> tile = dynamic_shared<float>("tile", 0, 2 * 128);
  for (int i = 0; i < 2; i++) {
    const int piece = i == 0 ? lane() / 2 : 32 + lane();
    copy_async(tile + (i * 32 + lane()) * 4, data + piece * 4, i == 0 && lane() % 2 == 1 ? 0 : 16);
  }
  commit_async();
  wait_async<0>();
}

void all() {
  const auto error = [](const char* name, double (*run)()) {
    for (Mode mode : {Mode::strict, Mode::fast}) check(name, mode, [&](Json& line) { line.number("error", run()); });
  };
  check("layouts", Mode::strict, [](Json& line) { line.number("wrong", wrong_layouts()); });
  error("mma m16n8k16", &test_plain_mma<M16N8K16>);
  error("mma m16n8k8", &test_plain_mma<M16N8K8>);
  error("ldmatrix", &test_loaded_mma<false>);
  error("ldmatrix.trans", &test_loaded_mma<true>);
  check("exchange", Mode::strict, [](Json& line) {
    DeviceArray<int> wrong("wrong", 64);
    launch("exchange", &exchange, {dim3(1), dim3(64)}, Stream(), wrong.data());
    int sum = 0;
    for (size_t i = 0; i < wrong.count(); i++) sum += wrong[i];
    line.number("wrong", sum);
  });
  check("rounding", Mode::strict, [](Json& line) {
    const auto bits = [](float x) { return pack_bf16(x, 0.0f); };
    const float ulp = 0x1p-7f;
    const std::pair<float, uint32_t> cases[] = {
        {1.0f, 0x3f80}, {1.0f + ulp / 2, 0x3f80}, {1.0f + ulp * 1.5f, 0x3f82}, {std::nanf(""), 0x7fff},
        {-0.0f, 0x8000}, {INFINITY, 0x7f80}, {3.4e38f, 0x7f80}};
    int wrong = pack_bf16(1.0f, 2.0f) != 0x40003f80u;
    for (const auto& [value, expected] : cases) wrong += bits(value) != expected;
    line.number("wrong", wrong);
  });
  check("contiguous, conflicts", Mode::strict, [](Json& line) { test_counting(line, 1, 32); });
  check("copies", Mode::strict, [](Json& line) {
    DeviceArray<float> data("data", 256, sim::Rights::read);
    launch("copies", &copies, {dim3(1), dim3(32), 2 * 128 * 4}, Stream(), data.data());
    line.raw("counters", json_of(sim::Machine::current().counters().at("copies")));
  });
  check("strided, padded", Mode::strict, [](Json& line) { test_counting(line, 32, 33); });
}

}  // namespace
}  // namespace lorikeet::cuda_sim::test

int main() { lorikeet::cuda_sim::test::all(); }
