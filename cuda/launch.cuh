// The one way to start a kernel: <<<>>> under nvcc, the emulator under the host compiler.
#pragma once

#include <stdexcept>
#include <string>

#include "memory.cuh"
#include "runtime.h"

#if !defined(__CUDACC__)
#include <memory>
#include <tuple>
#endif

namespace LORIKEET_CUDA {

#if defined(__CUDACC__)

struct LaunchShape {
  dim3 grid, block;
  size_t shared_bytes = 0;  // dynamic
};

// Parameters are converted to the kernel's own types. Throws std::runtime_error when the launch is refused; what goes
// wrong while the kernel runs shows at the next synchronisation.
template <typename... Parameters, typename... Arguments>
void launch(const char* name, void (*kernel)(Parameters...), const LaunchShape& shape, Stream stream,
            Arguments&&... arguments) {
  cudaError_t status = cudaSuccess;
  if (shape.shared_bytes > (48 << 10)) {
    status = cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize,
                                  static_cast<int>(shape.shared_bytes));
  }
  if (status == cudaSuccess) {
    kernel<<<shape.grid, shape.block, shape.shared_bytes, stream>>>(Parameters(arguments)...);
    status = cudaGetLastError();
  }
  if (status != cudaSuccess) {
    throw std::runtime_error(std::string(name) + ": the launch failed: " + cudaGetErrorString(status));
  }
}

#else

using sim::LaunchShape;

template <typename... Parameters, typename... Arguments>
void launch(const char* name, void (*kernel)(Parameters...), const LaunchShape& shape, Stream stream,
            Arguments&&... arguments) {
  struct Call {
    void (*kernel)(Parameters...);
    std::tuple<Parameters...> parameters;
  };
  const auto call = std::make_shared<Call>(Call{kernel, std::tuple<Parameters...>(Parameters(arguments)...)});
  sim::Machine& machine = sim::Machine::current();
  sim::runtime::enqueue(stream, [=, &machine, scope = machine.scope()] {
    const sim::Machine::Scope within(machine, scope);
    sim::KernelCall kernel_call{name, shape, reinterpret_cast<const void*>(call->kernel), {}, nullptr, call.get()};
    std::apply([&](const auto&... each) { (kernel_call.parameters.push_back({&each, sizeof each}), ...); },
               call->parameters);
    kernel_call.body = [](void* argument) {
      const Call& call = *static_cast<Call*>(argument);
      std::apply(call.kernel, call.parameters);
    };
    machine.launch(kernel_call);
  });
}

#endif

}  // namespace LORIKEET_CUDA
