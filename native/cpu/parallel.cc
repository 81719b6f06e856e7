#include "parallel.h"

#include <omp.h>

#include <atomic>

namespace lorikeet::cpu {

static std::atomic<int> threads{0};  // 0: not set, OpenMP's own default

int thread_count() {
  const int set = threads.load(std::memory_order_relaxed);
  return set > 0 ? set : omp_get_max_threads();
}

void set_thread_count(int count) { threads.store(count < 1 ? 1 : count, std::memory_order_relaxed); }

}  // namespace lorikeet::cpu
