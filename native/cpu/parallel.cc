#include "parallel.h"

#include <omp.h>

namespace lorikeet::cpu {

// OpenMP keeps this number per calling thread, and oneDNN asks for the same one: an engine's thread sets its own.
static thread_local int initial = 0;

int thread_count() { return omp_get_max_threads(); }

void set_thread_count(int threads) {
  if (initial == 0) initial = omp_get_max_threads();
  omp_set_num_threads(threads < 1 ? initial : threads);
}

}  // namespace lorikeet::cpu
