// What the emulator's test programs share: buffers on the emulated card, random values, and results as JSON lines.
#pragma once

#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "cuda/launch.cuh"
#include "cuda/numeric.cuh"
#include "cuda/sim/cards.h"

namespace lorikeet::cuda_sim::test {

// `count` elements in the memory of the machine in use, aligned as cudaMalloc does.
template <typename T>
class DeviceArray {
 public:
  DeviceArray(const std::string& name, size_t count, sim::Rights rights = sim::Rights::read_write)
      : data_(static_cast<T*>(std::aligned_alloc(256, (count * sizeof(T) + 255) / 256 * 256 + 256)), &std::free),
        count_(count) {
    std::fill(data(), data() + count, T());
    sim::Machine::current().memory().add(name, data(), count * sizeof(T), sizeof(T), rights);
  }
  T* data() const { return data_.get(); }
  size_t count() const { return count_; }
  T& operator[](size_t i) const { return data_.get()[i]; }

 private:
  std::unique_ptr<T, decltype(&std::free)> data_;
  size_t count_;
};

// Uniform in [-1, 1), the same sequence everywhere.
class Random {
 public:
  explicit Random(uint32_t seed) : state_(seed * 2654435761u + 1) {}
  float next() {
    state_ = state_ * 1664525u + 1013904223u;
    return static_cast<float>(state_ >> 8) / 8388608.0f - 1.0f;
  }
  template <typename T>
  void fill(const DeviceArray<T>& array, float scale = 1.0f, float offset = 0.0f) {
    for (size_t i = 0; i < array.count(); i++) array[i] = from_float<T>(next() * scale + offset);
  }

 private:
  uint32_t state_;
};

inline std::string quoted(const std::string& text) {
  std::string result = "\"";
  for (char c : text) {
    if (c == '"' || c == '\\') result += '\\';
    result += c;
  }
  return result + "\"";
}

// {"a":1,"b":2}
class Json {
 public:
  Json& text(const char* key, const std::string& value) { return raw(key, quoted(value)); }
  Json& number(const char* key, double value) {
    char digits[32];
    std::snprintf(digits, sizeof digits, "%.17g", value);
    return raw(key, std::isfinite(value) ? digits : "null");
  }
  Json& raw(const char* key, const std::string& value) {
    fields_ += (fields_.empty() ? "" : ",") + quoted(key) + ":" + value;
    return *this;
  }
  std::string str() const { return "{" + fields_ + "}"; }

 private:
  std::string fields_;
};

inline std::string json_of(const sim::Counters& c) {
  std::string times;
  for (const sim::Card& card : sim::cards()) {
    const sim::Roofline line = sim::roofline(c, card);
    const Json one = Json().number("us", line.microseconds).text("bound", line.bound);
    times += (times.empty() ? "" : ",") + quoted(card.name) + ":" + one.str();
  }
  return Json()
      .number("blocks", c.blocks)
      .number("sharedBytes", c.shared_bytes)
      .number("tensorInstructions", c.tensor_instructions)
      .number("tensorFlops", c.tensor_flops)
      .number("matrixLoads", c.matrix_loads)
      .number("loadBytes", c.load.bytes)
      .number("loadSectors", c.load.sectors)
      .number("storeBytes", c.store.bytes)
      .number("storeSectors", c.store.sectors)
      .number("sectorFactor", c.sector_factor())
      .number("sharedWavefronts", c.shared.wavefronts)
      .number("conflictFactor", c.conflict_factor())
      .number("blockBarriers", c.block_barriers)
      .number("warpBarriers", c.warp_barriers)
      .number("dramReadBytes", c.dram_read_bytes)
      .number("dramWrittenBytes", c.dram_written_bytes)
      .raw("roofline", "{" + times + "}")
      .str();
}

inline void print(const Json& line) { std::printf("%s\n", line.str().c_str()); }

// Runs `body` on a machine of its own and prints a line: the name, and the fault if there was one.
inline void check(const char* name, sim::Mode mode, const std::function<void(Json&)>& body) {
  sim::Machine machine(mode);
  const sim::Machine::Use use(machine);
  Json line;
  line.text("case", name);
  try {
    body(line);
  } catch (const sim::Fault& fault) {
    const char* file = fault.site.file() ? fault.site.file() : "";
    line.raw("fault", Json()
                          .text("kind", sim::name_of(fault.kind))
                          .text("message", fault.what())
                          .text("file", file)
                          .number("line", fault.site.line())
                          .str());
  }
  print(line);
}

}  // namespace lorikeet::cuda_sim::test
