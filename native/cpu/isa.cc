#include "isa.h"

#if defined(__x86_64__)
#include <cpuid.h>
#include <sys/syscall.h>
#include <unistd.h>
#endif

#include <cstdint>

namespace lorikeet::cpu {

#if defined(__x86_64__)

// The kernel gives tile state only to processes that ask for it (Linux 5.16, arch_prctl ARCH_REQ_XCOMP_PERM,
// XTILEDATA).
static bool may_use_tiles() {
  constexpr int kRequestPermission = 0x1023;
  constexpr int kTileData = 18;
  return syscall(SYS_arch_prctl, kRequestPermission, kTileData) == 0;
}

static Isa detect() {
  Isa found;
  __builtin_cpu_init();
  found.avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
  found.avx512 = __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
                 __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512dq");
  found.avx512_bf16 = found.avx512 && __builtin_cpu_supports("avx512bf16");
  uint32_t a = 0, b = 0, c = 0, d = 0;
  const bool tiles = __get_cpuid_count(7, 0, &a, &b, &c, &d) && (d & (1u << 22)) && (d & (1u << 24));
  found.amx_bf16 = found.avx512_bf16 && tiles && may_use_tiles();
  return found;
}

#else

static Isa detect() { return {}; }

#endif

const Isa& isa() {
  static const Isa found = detect();
  return found;
}

const char* isa_name() {
  if (isa().amx_bf16) return "amx_bf16";
  if (isa().avx512_bf16) return "avx512_bf16";
  if (isa().avx512) return "avx512";
  return isa().avx2 ? "avx2" : "none";
}

}  // namespace lorikeet::cpu
