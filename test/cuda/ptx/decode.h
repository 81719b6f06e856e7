// From the text of an entry to what a warp executes.
#pragma once

#include <memory>

#include "warp.h"

namespace lorikeet::ptx {

// Throws Error, naming the opcode and the line, for an instruction that is not known.
std::unique_ptr<Kernel> decode(const Module& module, const Entry& entry);

// Runs a kernel on all blocks of a grid, one after the other. `dynamic_shared` bytes follow the kernel's own arrays.
// Throws Error.
void run_kernel(const Kernel& kernel, const sim::LaunchShape& shape, const std::vector<uint8_t>& parameters,
                const std::vector<Range>& memory);

}  // namespace lorikeet::ptx
