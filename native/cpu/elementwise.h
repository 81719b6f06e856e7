// What the bandwidth-bound kernels share. A kernel is a loop over plain pointers (`#pragma omp simd` lets the compiler
// vectorise it and says that operands either coincide or do not overlap), marked LORIKEET_CLONES, and a factory that
// checks the operands and returns kernel_from(lambda). Copy add.cc to add one.
#pragma once

#include <algorithm>
#include <cstdint>
#include <memory>
#include <utility>

#include "../core/checks.h"
#include "kernel.h"
#include "convert.h"
#include "math.h"
#include "parallel.h"

// Compiles the function twice, for x86-64-v4 (AVX-512 with BW: without it, bf16 loops take twice the time) and for the
// baseline; the loader picks one. g++ knows that level since version 12. Sanitizers instrument the function that picks,
// which runs before they are ready, so with them there is one version.
#if defined(__x86_64__) && defined(__linux__) && __GNUC__ >= 12 && !defined(__SANITIZE_ADDRESS__) && \
    !defined(__SANITIZE_THREAD__)
#define LORIKEET_CLONES __attribute__((target_clones("arch=x86-64-v4", "default")))
#else
#define LORIKEET_CLONES
#endif

namespace lorikeet::cpu {

// Elements per piece of work: small enough to share out, large enough to hide the cost of doing so. Fixed, so that sums
// over pieces do not depend on the number of threads.
constexpr int64_t kElementGrain = 16384;

// Rows per piece for rows of that many elements.
inline int64_t row_grain(int64_t columns) {
  return std::max<int64_t>(1, kElementGrain / std::max<int64_t>(1, columns));
}

inline int64_t pieces_of(int64_t n, int64_t grain) { return (n + grain - 1) / grain; }

namespace detail {
template <typename Run>
class RunKernel final : public Kernel {
 public:
  explicit RunKernel(Run run) : run_(std::move(run)) {}
  void run(const Operands& operands) override { run_(operands); }

 private:
  Run run_;
};
}  // namespace detail

// A kernel that is run(operands); what run captures is what the factory found out.
template <typename Run>
std::unique_ptr<Kernel> kernel_from(Run run) {
  return std::make_unique<detail::RunKernel<Run>>(std::move(run));
}

// make(float{}) or make(bf16{}): the compute dtype as a type, `using T = decltype(zero)`.
template <typename Make>
auto by_dtype(DType dtype, const Make& make) {
  return dtype == DType::bf16 ? make(bf16{}) : make(float{});
}

}  // namespace lorikeet::cpu
