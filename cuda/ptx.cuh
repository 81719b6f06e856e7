// Every instruction that CUDA C++ has no word for, as inline PTX wrapped once; beside each its twin for the emulator,
// which is the definition that the tests check.
#pragma once

#include "fragments.cuh"
#include "threads.cuh"

#if !defined(__CUDACC__)
#include <cmath>

#include "sim/matrix.h"
#endif

namespace LORIKEET_CUDA {

#if defined(__CUDACC__)

namespace detail {
__device__ __forceinline__ uint32_t shared_address(const void* pointer) {
  return static_cast<uint32_t>(__cvta_generic_to_shared(pointer));
}
}  // namespace detail

// cp.async.cg: 16 bytes into shared memory, of which `bytes` are read and the rest becomes zero. `from` must be aligned
// even when nothing is read.
template <typename T>
__device__ __forceinline__ void copy_async(Shared<T> to, Global<const T> from, int bytes) {
  asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;\n" ::"r"(detail::shared_address(to.pointer)),
               "l"(from.pointer), "r"(bytes)
               : "memory");
}
// Ends a group of copies; waits until at most kPending of the thread's latest groups are under way.
__device__ __forceinline__ void commit_async() { asm volatile("cp.async.commit_group;\n" ::: "memory"); }
template <int kPending>
__device__ __forceinline__ void wait_async() {
  asm volatile("cp.async.wait_group %0;\n" ::"n"(kPending) : "memory");
}

// ldmatrix.x4, plain and transposed (fragments.cuh, MatrixLoad): `row` points to the 8 elements that this lane gives.
template <typename T>
__device__ __forceinline__ void load_matrices(uint32_t (&reg)[4], Shared<T> row) {
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0,%1,%2,%3}, [%4];\n"
               : "=r"(reg[0]), "=r"(reg[1]), "=r"(reg[2]), "=r"(reg[3])
               : "r"(detail::shared_address(row.pointer))
               : "memory");
}
template <typename T>
__device__ __forceinline__ void load_matrices_transposed(uint32_t (&reg)[4], Shared<T> row) {
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0,%1,%2,%3}, [%4];\n"
               : "=r"(reg[0]), "=r"(reg[1]), "=r"(reg[2]), "=r"(reg[3])
               : "r"(detail::shared_address(row.pointer))
               : "memory");
}

namespace detail {
__device__ __forceinline__ void mma(float (&c)[4], const uint32_t (&a)[4], const uint32_t (&b)[2]) {
  asm volatile(
      "mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};\n"
      : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
}
__device__ __forceinline__ void mma(float (&c)[4], const uint32_t (&a)[2], const uint32_t (&b)[1]) {
  asm volatile("mma.sync.aligned.m16n8k8.row.col.f32.bf16.bf16.f32 {%0,%1,%2,%3}, {%4,%5}, {%6}, {%0,%1,%2,%3};\n"
               : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
               : "r"(a[0]), "r"(a[1]), "r"(b[0]));
}
}  // namespace detail

// mma.sync in bf16 with f32 sums, for a tile of MI x NI instructions: c[i][j] += a[i] b[j].
template <class Shape, int MI, int NI>
__device__ __forceinline__ void multiply_add(float (&c)[MI][NI][Shape::kRegistersC],
                                             const uint32_t (&a)[MI][Shape::kRegistersA],
                                             const uint32_t (&b)[NI][Shape::kRegistersB]) {
  LORIKEET_UNROLL for (int i = 0; i < MI; i++) {
    LORIKEET_UNROLL for (int j = 0; j < NI; j++) detail::mma(c[i][j], a[i], b[j]);
  }
}

__device__ __forceinline__ float float_of_bits(uint32_t bits) { return __uint_as_float(bits); }

// Two bf16 in one register, rounded to nearest even; NaN becomes 0x7fff.
__device__ __forceinline__ uint32_t pack_bf16(float low, float high) {
  uint32_t packed;
  asm("cvt.rn.bf16x2.f32 %0, %1, %2;\n" : "=r"(packed) : "f"(high), "f"(low));
  return packed;
}

// 2^x to about two units in the last place; subnormal results become zero.
__device__ __forceinline__ float exp2_approx(float x) {
  float y;
  asm("ex2.approx.ftz.f32 %0, %1;\n" : "=f"(y) : "f"(x));
  return y;
}

#else

inline float float_of_bits(uint32_t bits) {
  float value;
  std::memcpy(&value, &bits, 4);
  return value;
}

template <typename T>
void copy_async(Shared<T> to, Global<const T> from, int bytes LORIKEET_SITE) {
  sim::Block& block = *sim::current_block;
  block.copy_async(block.current(), to.region, to.pointer, from.buffer, from.pointer, bytes, 16, LORIKEET_SITE_HERE);
}
inline void commit_async() { sim::current_block->commit_async(sim::current_block->current()); }
template <int kPending>
void wait_async() {
  sim::current_block->wait_async(sim::current_block->current(), kPending);
}

namespace detail {

struct MatrixLoadCall {
  char* row;
  const sim::Region* region;
  uint32_t (&reg)[4];
};

template <bool kTransposed>
void run_load_matrices(sim::WarpCall& warp) {
  sim::Counters& counters = warp.block.counters();
  counters.matrix_loads++;
  const char* rows[32];
  uint64_t offsets[32];
  for (int lane = 0; lane < 32; lane++) {
    const MatrixLoadCall& call = argument<MatrixLoadCall>(warp, lane);
    rows[lane] = call.row;
    offsets[lane] = static_cast<uint64_t>(call.row - warp.block.shared_data());
    if (warp.block.strict()) {
      warp.block.touch_shared(warp.lanes[lane], *call.region, call.row, 16, sim::Touch::read, warp.site, false);
    }
  }
  if (warp.block.strict()) sim::count_shared_request(offsets, 32, 16, warp.site, counters);
  for (int lane = 0; lane < 32; lane++) {
    for (int matrix = 0; matrix < 4; matrix++) {
      uint32_t value = 0;
      for (int half = 0; half < 2; half++) {
        const Position at = MatrixLoad::element(lane, half);
        const int row = kTransposed ? at.column : at.row, column = kTransposed ? at.row : at.column;
        uint16_t element;
        std::memcpy(&element, rows[8 * matrix + row] + 2 * column, 2);
        value |= static_cast<uint32_t>(element) << (16 * half);
      }
      argument<MatrixLoadCall>(warp, lane).reg[matrix] = value;
    }
  }
}

template <typename T>
MatrixLoadCall matrix_load_call(uint32_t (&reg)[4], Shared<T> row) {
  static_assert(sizeof(T) == 2, "ldmatrix moves 16-bit elements");
  return {const_cast<char*>(reinterpret_cast<const char*>(row.pointer)), row.region, reg};
}

}  // namespace detail

template <typename T>
void load_matrices(uint32_t (&reg)[4], Shared<T> row LORIKEET_SITE) {
  static const sim::Collective op{"ldmatrix", true, &detail::run_load_matrices<false>};
  detail::MatrixLoadCall call = detail::matrix_load_call(reg, row);
  detail::collect(op, kAllLanes, call, LORIKEET_SITE_HERE);
}
template <typename T>
void load_matrices_transposed(uint32_t (&reg)[4], Shared<T> row LORIKEET_SITE) {
  static const sim::Collective op{"ldmatrix.trans", true, &detail::run_load_matrices<true>};
  detail::MatrixLoadCall call = detail::matrix_load_call(reg, row);
  detail::collect(op, kAllLanes, call, LORIKEET_SITE_HERE);
}

namespace detail {

template <class Shape, int MI, int NI>
struct MultiplyCall {
  float (&c)[MI][NI][Shape::kRegistersC];
  const uint32_t (&a)[MI][Shape::kRegistersA];
  const uint32_t (&b)[NI][Shape::kRegistersB];
};

inline float half_of(uint32_t reg, int half) {
  return float_of_bits(half == 0 ? reg << 16 : reg & 0xffff0000u);
}

template <class Shape, int MI, int NI>
void run_multiply_add(sim::WarpCall& warp) {
  using Call = MultiplyCall<Shape, MI, NI>;
  static thread_local float a[MI * Shape::kM][Shape::kK], b[Shape::kK][NI * Shape::kN];
  static thread_local float c[MI * Shape::kM][NI * Shape::kN];
  for (int lane = 0; lane < 32; lane++) {
    const Call& call = argument<Call>(warp, lane);
    for (int half = 0; half < 2; half++) {
      for (int reg = 0; reg < Shape::kRegistersA; reg++) {
        const Position at = Shape::a(lane, reg, half);
        for (int i = 0; i < MI; i++) a[i * Shape::kM + at.row][at.column] = half_of(call.a[i][reg], half);
      }
      for (int reg = 0; reg < Shape::kRegistersB; reg++) {
        const Position at = Shape::b(lane, reg, half);
        for (int j = 0; j < NI; j++) b[at.row][j * Shape::kN + at.column] = half_of(call.b[j][reg], half);
      }
    }
    for (int reg = 0; reg < Shape::kRegistersC; reg++) {
      const Position at = Shape::c(lane, reg);
      for (int i = 0; i < MI; i++) {
        for (int j = 0; j < NI; j++) c[i * Shape::kM + at.row][j * Shape::kN + at.column] = call.c[i][j][reg];
      }
    }
  }
  sim::multiply_add(&c[0][0], &a[0][0], &b[0][0], MI * Shape::kM, NI * Shape::kN, Shape::kK);
  for (int lane = 0; lane < 32; lane++) {
    Call& call = argument<Call>(warp, lane);
    for (int reg = 0; reg < Shape::kRegistersC; reg++) {
      const Position at = Shape::c(lane, reg);
      for (int i = 0; i < MI; i++) {
        for (int j = 0; j < NI; j++) call.c[i][j][reg] = c[i * Shape::kM + at.row][j * Shape::kN + at.column];
      }
    }
  }
  sim::Counters& counters = warp.block.counters();
  counters.tensor_instructions += MI * NI;
  counters.tensor_flops += 2ull * MI * NI * Shape::kM * Shape::kN * Shape::kK;
}

}  // namespace detail

template <class Shape, int MI, int NI>
void multiply_add(float (&c)[MI][NI][Shape::kRegistersC], const uint32_t (&a)[MI][Shape::kRegistersA],
                  const uint32_t (&b)[NI][Shape::kRegistersB] LORIKEET_SITE) {
  static const sim::Collective op{"mma", true, &detail::run_multiply_add<Shape, MI, NI>};
  detail::MultiplyCall<Shape, MI, NI> call{c, a, b};
  detail::collect(op, kAllLanes, call, LORIKEET_SITE_HERE);
}

namespace detail {
inline uint32_t bf16_bits(float value) {
  uint32_t bits;
  std::memcpy(&bits, &value, 4);
  if ((bits & 0x7fffffffu) > 0x7f800000u) return 0x7fff;
  return (bits + 0x7fffu + (bits >> 16 & 1u)) >> 16;
}
}  // namespace detail

inline uint32_t pack_bf16(float low, float high) { return detail::bf16_bits(low) | detail::bf16_bits(high) << 16; }

inline float exp2_approx(float x) {
  const float y = std::exp2(x);
  return y < 1.17549435e-38f ? 0.0f : y;
}

#endif

}  // namespace LORIKEET_CUDA
