// Kernels with one mistake each, beside the same without it. `// fault: <case>` marks the line that the emulator must
// name; the test reads it here.
#include "../harness.h"

namespace lorikeet::cuda_sim::test {
namespace {

using sim::Mode;
using sim::Rights;

int thread() { return static_cast<int>(threadIdx.x); }

void run(void (*kernel)(Global<float>), unsigned threads = 64, unsigned blocks = 1, size_t shared_bytes = 0,
         size_t elements = 256) {
  DeviceArray<float> data("data", elements);
  launch("kernel", kernel, {dim3(blocks), dim3(threads), shared_bytes}, Stream(), data.data());
}

// ---- bounds

void store_past_end(Global<float> data) {
  store(data, thread() + 200, 1.0f);  // fault: global past its end
}
void load_before_start(Global<float> data) {
  const float value = load(data, thread() - 3);  // fault: global before its start
  store(data, thread(), value);
}
void vector_past_end(Global<float> data) {
  const auto value = load_vector<4>(data, 4 * thread());  // fault: vector past the end
  store(data, 4 * thread(), value[0]);
}
void shared_past_end(Global<float>) {
  LORIKEET_SHARED_ARRAY(float, sums, 32);
  store(sums, thread(), 1.0f);  // fault: shared past its end
}
void dynamic_shared_too_large(Global<float>) {
  dynamic_shared<float>("tiles", 64, 128);  // fault: dynamic shared array beyond what was launched with
}
void copy_past_end(Global<float> data) {
  const Shared<float> tile = dynamic_shared<float>("tile", 0, 256);
  const Global<const float> from(data.pointer, data.buffer);
  copy_async(tile + 4 * thread(), from + (4 * thread() + 4), 16);  // fault: cp.async past the end
  commit_async();
  wait_async<0>();
}
void copy_nothing_past_end(Global<float> data) {
  const Shared<float> tile = dynamic_shared<float>("tile", 0, 256);
  const Global<const float> from(data.pointer, data.buffer);
  copy_async(tile + 4 * thread(), from + 4 * thread() % 252, thread() == 63 ? 0 : 16);
  commit_async();
  wait_async<0>();
  store(data, 4 * thread(), load(tile, 4 * thread()));
}
void misaligned_vector(Global<float> data) {
  const auto value = load_vector<4>(data, 1 + thread());  // fault: misaligned vector
  store(data, thread(), value[0]);
}
void null_pointer(Global<float>) {
  const Global<float> bias(nullptr);
  store(bias, 0, 1.0f);  // fault: null pointer
}

// ---- shared memory

void read_unwritten(Global<float> data) {
  LORIKEET_SHARED_ARRAY(float, sums, 64);
  if (thread() < 63) store(sums, thread(), 1.0f);
  sync_block();
  store(data, thread(), load(sums, thread()));  // fault: uninitialised shared memory
}
void read_of_last_block(Global<float> data) {
  LORIKEET_SHARED_ARRAY(float, sums, 64);
  if (blockIdx.x == 0) store(sums, thread(), 1.0f);
  sync_block();
  const float value = load(sums, thread());  // fault: what an earlier block left
  if (blockIdx.x == 0) store(data, thread(), value);
}
template <bool kBarrier>
void neighbour(Global<float> data) {
  LORIKEET_SHARED_ARRAY(float, values, 64);
  store(values, thread(), 0.0f);
  sync_block();
  store(values, thread(), 1.0f * thread());  // fault: missing barrier
  if (kBarrier) sync_block();
  const float value = load(values, thread() ^ 32);  // fault: missing barrier
  store(data, static_cast<int>(blockIdx.x) * 64 + thread(), value);
}
void read_too_early(Global<float> data) {
  LORIKEET_SHARED_ARRAY(float, values, 64);
  store(values, thread(), 1.0f);
  store(data, thread(), load(values, thread() ^ 32));  // fault: read before it is written
}
template <bool kBarrier>
void rotate(Global<float> data) {
  LORIKEET_SHARED_ARRAY(float, values, 64);
  store(values, thread(), 1.0f * thread());
  sync_block();
  const float value = load(values, (thread() + 32) % 64);  // fault: missing barrier before overwriting
  if (kBarrier) sync_block();
  store(values, thread(), value);  // fault: missing barrier before overwriting
  sync_block();
  store(data, thread(), load(values, thread()));
}
void two_writers(Global<float>) {
  LORIKEET_SHARED_ARRAY(float, values, 64);
  store(values, thread() / 2, 1.0f);  // fault: two writers
}
template <bool kBarrier>
void within_warp(Global<float> data) {
  LORIKEET_SHARED_ARRAY(float, values, 64);
  for (int round = 0; round < 3; round++) {
    store(values, thread(), 1.0f * thread());
    sync_warp();
    const float value = load(values, thread() ^ 5);  // fault: missing warp barrier
    if (kBarrier) sync_warp();
    store(values, thread() ^ 1, value);  // fault: missing warp barrier
    sync_warp();
    store(data, thread(), load(values, thread()));
    sync_warp();
  }
}
void other_half_of_warp(Global<float> data) {
  LORIKEET_SHARED_ARRAY(float, values, 64);
  store(values, thread(), 1.0f);
  if (thread() % 32 < 16) {
    sync_warp(0x0000ffffu);
  } else {
    sync_warp(0xffff0000u);
  }
  store(data, thread(), load(values, thread() ^ 1));
  store(data, 64 + thread(), load(values, thread() ^ 16));  // fault: barrier of half a warp
}

// ---- cp.async

template <int kPending, bool kWait, bool kBarrier>
void pipeline(Global<float> data) {
  const Shared<float> tiles = dynamic_shared<float>("tiles", 0, 256 * 2);
  const Global<const float> from(data.pointer, data.buffer);
  for (int stage = 0; stage < 2; stage++) {
    copy_async(tiles + (stage * 256 + 4 * thread()), from + 4 * thread(), 16);
    commit_async();
  }
  if (kWait) wait_async<kPending>();
  if (kBarrier) sync_block();
  const int at = kPending == 0 ? 256 + (4 * thread() + 128) % 256 : 4 * thread();
  // fault: pipeline waits for nothing, pipeline waits for one group too few, pipeline without a barrier
  const float value = load(tiles, at);
  sync_block();
  store(data, thread(), value);
}
void overwrite_in_flight(Global<float> data) {
  const Shared<float> tile = dynamic_shared<float>("tile", 0, 256);
  copy_async(tile + 4 * thread(), Global<const float>(data.pointer, data.buffer) + 4 * thread(), 16);
  commit_async();
  store(tile, 4 * thread(), 0.0f);  // fault: overwritten on its way
  wait_async<0>();
}

// ---- barriers and warp operations

void barrier_in_branch(Global<float>) {
  if (thread() < 32) {
    sync_block();  // fault: barrier that half of the block skips
  }
}
void two_barriers(Global<float>) {
  if (thread() < 32) {
    sync_block();  // fault: different barriers
  } else {
    sync_block();
  }
}
void return_before_shuffle(Global<float> data) {
  if (thread() == 5) return;
  const float value = shuffle_xor(1.0f, 1);  // fault: shuffle without a lane
  store(data, thread(), value);
}
void shuffle_in_branch(Global<float> data) {
  const uint32_t low = 0x0000ffffu;
  float value = 0;
  if (thread() % 32 < 16) value = shuffle_xor(1.0f, 1, low);
  store(data, thread(), value);
}
void shuffle_beyond_mask(Global<float> data) {
  float value = 0;
  if (thread() % 32 < 16) value = shuffle_xor(1.0f, 16, 0x0000ffffu);  // fault: shuffle beyond its mask
  store(data, thread(), value);
}
void not_in_mask(Global<float>) {
  ballot(true, 0x7fffffffu);  // fault: lane outside its mask
}
void divergent_mma(Global<float>) {
  float c[1][1][4] = {};
  const uint32_t a[1][4] = {}, b[1][2] = {};
  if (thread() % 2 == 0) {
    multiply_add<M16N8K16, 1, 1>(c, a, b);  // fault: mma at two places
  } else {
    multiply_add<M16N8K16, 1, 1>(c, a, b);
  }
}

// ---- global memory between threads

void same_element(Global<float> data) {
  store(data, thread() / 2, 1.0f);  // fault: two threads write one element
}
void across_blocks(Global<float> data) {
  if (blockIdx.x == 0) store(data, thread(), 1.0f);
  if (blockIdx.x == 1) store(data, 64 + thread(), load(data, thread()));  // fault: another block's result
}
void after_barrier(Global<float> data) {
  store(data, thread(), 1.0f);
  sync_block();
  store(data, 64 + thread(), load(data, thread() ^ 63));
}
void count_atomically(Global<int> count) {
  atomic_add(count, thread() % 2, 1);
  LORIKEET_SHARED_ARRAY(int, most, 1);
  if (thread() == 0) store(most, 0, 0);
  sync_block();
  atomic_max(most, 0, thread());
  sync_block();
  if (thread() == 0) atomic_compare_swap(count, 2, 0, load(most, 0));
}
void mix_atomics(Global<int> count) {
  atomic_add(count, 0, 1);
  if (thread() == 63) store(count, 1, load(count, 0));  // fault: plain read beside atomics
}

void all() {
  const auto strict = [](const char* name, std::function<void()> body) {
    check(name, Mode::strict, [&](Json&) { body(); });
  };
  strict("global past its end", [] { run(store_past_end); });
  strict("global before its start", [] { run(load_before_start); });
  strict("vector past the end", [] { run(vector_past_end, 64, 1, 0, 254); });
  strict("shared past its end", [] { run(shared_past_end); });
  strict("dynamic shared array beyond what was launched with", [] { run(dynamic_shared_too_large, 64, 1, 512); });
  strict("cp.async past the end", [] { run(copy_past_end, 64, 1, 1024); });
  strict("ok: cp.async of nothing", [] { run(copy_nothing_past_end, 64, 1, 1024); });
  strict("misaligned vector", [] { run(misaligned_vector); });
  strict("null pointer", [] { run(null_pointer); });
  strict("uninitialised shared memory", [] { run(read_unwritten); });
  strict("what an earlier block left", [] { run(read_of_last_block, 64, 2); });
  strict("missing barrier", [] { run(neighbour<false>); });
  strict("read before it is written", [] { run(read_too_early); });
  strict("ok: neighbour", [] { run(neighbour<true>, 64, 3, 0, 256); });
  strict("missing barrier before overwriting", [] { run(rotate<false>); });
  strict("ok: rotate", [] { run(rotate<true>); });
  strict("two writers", [] { run(two_writers); });
  strict("missing warp barrier", [] { run(within_warp<false>); });
  strict("ok: within a warp", [] { run(within_warp<true>); });
  strict("barrier of half a warp", [] { run(other_half_of_warp); });
  strict("pipeline waits for nothing", [] { run(pipeline<0, false, true>, 64, 1, 2048); });
  strict("pipeline waits for one group too few", [] { run(pipeline<2, true, true>, 64, 1, 2048); });
  strict("pipeline without a barrier", [] { run(pipeline<0, true, false>, 64, 1, 2048); });
  strict("ok: pipeline", [] { run(pipeline<0, true, true>, 64, 1, 2048); });
  strict("ok: pipeline with a group under way", [] { run(pipeline<1, true, true>, 64, 1, 2048); });
  strict("overwritten on its way", [] { run(overwrite_in_flight, 64, 1, 1024); });
  strict("barrier that half of the block skips", [] { run(barrier_in_branch); });
  strict("different barriers", [] { run(two_barriers); });
  strict("shuffle without a lane", [] { run(return_before_shuffle); });
  strict("ok: shuffle in a branch", [] { run(shuffle_in_branch); });
  strict("shuffle beyond its mask", [] { run(shuffle_beyond_mask); });
  strict("lane outside its mask", [] { run(not_in_mask); });
  strict("mma at two places", [] { run(divergent_mma); });
  strict("two threads write one element", [] { run(same_element); });
  strict("another block's result", [] { run(across_blocks, 64, 2); });
  strict("ok: after a barrier", [] { run(after_barrier); });
  strict("ok: atomics", [] {
    DeviceArray<int> count("count", 3);
    launch("count", count_atomically, {dim3(1), dim3(64)}, Stream(), count.data());
    if (count[0] != 32 || count[1] != 32 || count[2] != 63) throw std::logic_error("atomics miscounted");
  });
  strict("plain read beside atomics", [] {
    DeviceArray<int> count("count", 2);
    launch("count", mix_atomics, {dim3(1), dim3(64)}, Stream(), count.data());
  });
  strict("write to what may only be read", [] {
    DeviceArray<float> data("weights", 256, Rights::read);
    launch("kernel", same_element, {dim3(1), dim3(64)}, Stream(), data.data());
  });
  strict("pointer into no buffer", [] {
    float data[64];
    launch("kernel", same_element, {dim3(1), dim3(64)}, Stream(), data);
  });
  strict("block of 48 threads", [] { run(same_element, 48); });
  strict("too much shared memory", [] { run(same_element, 64, 1, 100 << 10); });
  check("ok: fast mode checks nothing", Mode::fast, [](Json&) { run(neighbour<false>); });
}

}  // namespace
}  // namespace lorikeet::cuda_sim::test

int main() { lorikeet::cuda_sim::test::all(); }
