#include "functions.h"

#include <dlfcn.h>

#include <cmath>

#include "library.h"

namespace lorikeet::ptx {
namespace {

float evaluate(const char* name, float x) {
  thread_local float from, to;
  thread_local const std::vector<Range> memory = {{"x", reinterpret_cast<char*>(&from), 4, false},
                                                  {"y", reinterpret_cast<char*>(&to), 4, true}};
  thread_local const std::vector<uint8_t> parameters = [] {
    std::vector<uint8_t> bytes(16);
    const void* pointers[] = {&from, &to};
    std::memcpy(bytes.data(), pointers, 16);
    return bytes;
  }();
  from = x;
  run_kernel(Library::get().kernel(name), {dim3(1), dim3(1), 0}, parameters, memory);
  return to;
}

}  // namespace
}  // namespace lorikeet::ptx

// They take the place of the C library's for emulated kernels.
#define LORIKEET_PTX_FUNCTION(name)                                                                    \
  extern "C" float name(float x) noexcept {                                                            \
    static const auto host = reinterpret_cast<float (*)(float)>(dlsym(RTLD_NEXT, #name));              \
    return lorikeet::sim::current_block != nullptr ? lorikeet::ptx::evaluate(#name, x) : host(x);      \
  }
LORIKEET_PTX_FUNCTIONS(LORIKEET_PTX_FUNCTION)
