// The program: the whole contract between TypeScript and the native side. Flat lists of tensors and instructions;
// nothing is decided while it runs. Mirrors lib/graph/program.ts; kFormatVersion changes whenever either does.
#pragma once

#include <map>
#include <string>
#include <variant>
#include <vector>

#include "tensor.h"

namespace lorikeet {

constexpr int kFormatVersion = 1;
constexpr int kNoTensor = -1;  // an optional operand that is absent

// Where a tensor's bytes lie.
enum class Space : uint8_t {
  arena,   // the one arena of intermediates, inputs and outputs, shared by all programs; `offset` into it
  weight,  // a frozen weight of the weight store, found by `name`; the device may hold it in a layout of its own
  buffer,  // a named flat buffer (params, shadow, grads, optimizer state), `offset` into it
};

struct TensorSpec {
  DType dtype;
  Shape shape;
  Space space;
  int64_t offset = 0;  // bytes
  std::string name;    // the weight's or buffer's name; for arena tensors only a label for messages
};

using Attribute = std::variant<double, std::string, std::vector<double>>;

struct Instruction {
  std::string op;
  std::vector<int> inputs;   // indices into Program::tensors, or kNoTensor
  std::vector<int> outputs;  // likewise; an output in a buffer may be read as well (accumulation, in-place update)
  std::map<std::string, Attribute> attributes;

  // Throw Error naming op and attribute when it is missing or of another type.
  double number(const std::string& name) const;
  int64_t integer(const std::string& name) const;
  const std::string& text(const std::string& name) const;
  std::vector<int64_t> integers(const std::string& name) const;
  const std::vector<double>& numbers(const std::string& name) const;
  bool has(const std::string& name) const { return attributes.count(name) != 0; }
};

struct Port {
  std::string name;
  int tensor;
};

struct Program {
  int version = kFormatVersion;
  std::string label;
  int64_t arena_bytes = 0;
  std::vector<TensorSpec> tensors;
  std::vector<Instruction> instructions;
  std::vector<Port> inputs;   // filled by the caller before the first instruction
  std::vector<Port> outputs;  // copied out after the last
};

// Checks what does not need a device: version, indices, extents inside the arena and inside `buffer_bytes`.
void validate(const Program& program, const std::map<std::string, int64_t>& buffer_bytes);

}  // namespace lorikeet
