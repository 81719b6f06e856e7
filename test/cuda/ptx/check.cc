// Stands between the launches of a test program and the emulator: runs each kernel's PTX, puts memory back, runs the
// kernel in the emulator, and compares every byte of every buffer. Appends a line of JSON for each launch to the file
// that the environment variable LORIKEET_PTX_REPORT names.
#include <dlfcn.h>
#include <link.h>

#include <cstdio>
#include <cstdlib>

#include "cuda/sim/machine.h"
#include "library.h"

namespace lorikeet::ptx {
namespace {

using Contents = std::vector<std::vector<char>>;

Contents read(const std::vector<const sim::Buffer*>& buffers) {
  Contents result;
  for (const sim::Buffer* buffer : buffers) result.emplace_back(buffer->data, buffer->data + buffer->bytes);
  return result;
}

void write(const std::vector<const sim::Buffer*>& buffers, const Contents& contents) {
  for (size_t i = 0; i < buffers.size(); i++) std::memcpy(buffers[i]->data, contents[i].data(), contents[i].size());
}

std::vector<Range> ranges_of(const std::vector<const sim::Buffer*>& buffers) {
  std::vector<Range> result;
  for (const sim::Buffer* buffer : buffers) {
    result.push_back({buffer->name, buffer->data, buffer->bytes, buffer->rights == sim::Rights::read_write});
  }
  return result;
}

// The parameters as the card sees them, side by side.
std::vector<uint8_t> parameters_of(const Kernel& kernel, const sim::KernelCall& call) {
  std::vector<uint8_t> result(kernel.parameter_bytes);
  const auto refuse = [&] { throw Error("the parameters of the PTX and of the host's function differ in size"); };
  if (kernel.parameters.size() != call.parameters.size()) refuse();
  for (size_t i = 0; i < call.parameters.size(); i++) {
    if (kernel.parameters[i].bytes != call.parameters[i].second) refuse();
    std::memcpy(result.data() + kernel.parameters[i].offset, call.parameters[i].first, call.parameters[i].second);
  }
  return result;
}

std::string quoted(const std::string& text) {
  std::string result = "\"";
  for (char c : text) {
    if (c == '"' || c == '\\') result += '\\';
    result += c == '\n' || c == '\t' ? ' ' : c;
  }
  return result + "\"";
}

std::string hex(const char* data, size_t bytes) {
  uint64_t value = 0;
  std::memcpy(&value, data, std::min<size_t>(bytes, 8));
  char digits[20];
  std::snprintf(digits, sizeof digits, "%0*llx", static_cast<int>(2 * bytes), static_cast<unsigned long long>(value));
  return digits;
}

// NaN is NaN, whatever its sign and the rest of its bits, of which the hardware and the host have their own ideas.
bool same(const char* a, const char* b, size_t size) {
  if (std::memcmp(a, b, size) == 0) return true;
  if (size != 4) return false;
  float x, y;
  std::memcpy(&x, a, 4), std::memcpy(&y, b, 4);
  return x != x && y != y;
}

// "written": elements that the PTX changed. "different": those where the emulator left something else, and the first.
std::string compare(const std::vector<const sim::Buffer*>& buffers, const Contents& before, const Contents& by_ptx) {
  size_t written = 0, different = 0;
  std::string first;
  for (size_t i = 0; i < buffers.size(); i++) {
    const sim::Buffer& buffer = *buffers[i];
    const size_t size = buffer.element_bytes;
    for (size_t at = 0; at + size <= buffer.bytes; at += size) {
      const char* got = by_ptx[i].data() + at;
      written += std::memcmp(got, before[i].data() + at, size) != 0;
      if (same(got, buffer.data + at, size)) continue;
      if (different++ == 0) {
        first = buffer.name + "[" + std::to_string(at / size) + "] is " + hex(got, size) + " by PTX and " +
                hex(buffer.data + at, size) + " in the emulator";
      }
    }
  }
  return "\"written\":" + std::to_string(written) + ",\"different\":" + std::to_string(different) +
         (different == 0 ? "" : ",\"first\":" + quoted(first));
}

// As the symbols of the file that holds it are numbered, in hexadecimal.
std::string address_of(const void* function) {
  Dl_info info;
  link_map* map = nullptr;
  if (dladdr1(function, &info, reinterpret_cast<void**>(&map), RTLD_DL_LINKMAP) == 0) return "nowhere";
  char digits[20];
  std::snprintf(digits, sizeof digits, "%zx", reinterpret_cast<size_t>(function) - map->l_addr);
  return digits;
}

void check(sim::Machine& machine, const sim::KernelCall& call) {
  const std::vector<const sim::Buffer*> buffers = machine.buffers();
  const Contents before = read(buffers);
  Contents by_ptx;
  std::string line = "{\"kernel\":" + quoted(call.name);
  try {
    const Kernel& kernel = Library::get().kernel(address_of(call.function));
    line += ",\"entry\":" + quoted(kernel.name);
    run_kernel(kernel, call.shape, parameters_of(kernel, call), ranges_of(buffers));
    by_ptx = read(buffers);
  } catch (const Error& error) {
    line += ",\"error\":" + quoted(error.what());
  }
  write(buffers, before);
  machine.emulate(call, sim::Mode::fast);
  if (!by_ptx.empty()) line += "," + compare(buffers, before, by_ptx);
  if (std::FILE* file = std::fopen(std::getenv("LORIKEET_PTX_REPORT"), "a")) {
    std::fprintf(file, "%s}\n", line.c_str());
    std::fclose(file);
  }
}

const bool installed = [] {
  sim::Machine::on_launch = &check;
  return true;
}();

}  // namespace
}  // namespace lorikeet::ptx
