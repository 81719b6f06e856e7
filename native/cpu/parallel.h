// Splitting work over the cores. The partition never depends on timing, so results are the same in every run with the
// same number of threads; reductions must use a partition that does not depend on the number of threads either.
#pragma once

#include <cstdint>

namespace lorikeet::cpu {

// The number of threads that parallel_for uses when it is called from this thread (OMP_NUM_THREADS, or what openEngine
// was told).
int thread_count();
void set_thread_count(int threads);  // of the calling thread; below 1: OpenMP's own default

// body(begin, end) for consecutive pieces of 0..n, each a multiple of `grain` long but the last. Runs on the calling
// thread when there is only one piece. body must not throw.
template <typename Body>
void parallel_for(int64_t n, int64_t grain, const Body& body) {
  const int64_t pieces = (n + grain - 1) / grain;
  if (pieces <= 1) {
    if (n > 0) body(int64_t{0}, n);
    return;
  }
#pragma omp parallel for schedule(static) num_threads(thread_count())
  for (int64_t piece = 0; piece < pieces; piece++) {
    const int64_t begin = piece * grain;
    body(begin, begin + grain < n ? begin + grain : n);
  }
}

}  // namespace lorikeet::cpu
