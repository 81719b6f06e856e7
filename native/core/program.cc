#include "program.h"

#include <cmath>

namespace lorikeet {

static const Attribute& attribute(const Instruction& instruction, const std::string& name) {
  const auto found = instruction.attributes.find(name);
  require(found != instruction.attributes.end(), instruction.op, ": attribute '", name, "' is missing");
  return found->second;
}

static int64_t to_integer(const Instruction& instruction, const std::string& name, double value) {
  require(std::nearbyint(value) == value && std::fabs(value) <= 9007199254740992.0, instruction.op, ": attribute '",
          name, "' must hold whole numbers, got ", value);
  return static_cast<int64_t>(value);
}

double Instruction::number(const std::string& name) const {
  const double* value = std::get_if<double>(&attribute(*this, name));
  require(value != nullptr, op, ": attribute '", name, "' must be a number");
  return *value;
}

int64_t Instruction::integer(const std::string& name) const { return to_integer(*this, name, number(name)); }

const std::string& Instruction::text(const std::string& name) const {
  const std::string* value = std::get_if<std::string>(&attribute(*this, name));
  require(value != nullptr, op, ": attribute '", name, "' must be text");
  return *value;
}

const std::vector<double>& Instruction::numbers(const std::string& name) const {
  const auto* value = std::get_if<std::vector<double>>(&attribute(*this, name));
  require(value != nullptr, op, ": attribute '", name, "' must be a list of numbers");
  return *value;
}

std::vector<int64_t> Instruction::integers(const std::string& name) const {
  std::vector<int64_t> result;
  for (const double value : numbers(name)) result.push_back(to_integer(*this, name, value));
  return result;
}

static void check_extent(const TensorSpec& tensor, size_t index, const char* where, int64_t available) {
  const int64_t bytes = elements_of(tensor.shape) * bytes_of(tensor.dtype);
  require(tensor.offset >= 0 && tensor.offset <= available && bytes <= available - tensor.offset, "tensor ", index,
          " '", tensor.name, "' (", name_of(tensor.dtype), " ", to_string(tensor.shape), ", ", bytes, " bytes at ",
          tensor.offset, ") lies outside ", where, " of ", available, " bytes");
  require(tensor.offset % bytes_of(tensor.dtype) == 0, "tensor ", index, " '", tensor.name, "' begins at byte ",
          tensor.offset, ", which is not a multiple of its element size");
}

static void check_ports(const Program& program, const std::vector<Port>& ports, const char* kind) {
  for (size_t i = 0; i < ports.size(); i++) {
    const Port& port = ports[i];
    require(port.tensor >= 0 && static_cast<size_t>(port.tensor) < program.tensors.size(), kind, " '", port.name,
            "' refers to tensor ", port.tensor, " of ", program.tensors.size());
    const TensorSpec& tensor = program.tensors[port.tensor];
    require(tensor.space != Space::weight, kind, " '", port.name, "' is the weight '", tensor.name, "'");
    require(tensor.dtype != DType::f16, kind, " '", port.name, "' is f16: expected f32, bf16 or i32");
    for (size_t j = 0; j < i; j++) require(ports[j].name != port.name, kind, " '", port.name, "' appears twice");
  }
}

void validate(const Program& program, const std::map<std::string, int64_t>& buffer_bytes) {
  require(program.version == kFormatVersion, "program '", program.label, "' has format version ", program.version,
          ", this addon runs version ", kFormatVersion);
  require(program.arena_bytes >= 0, "program '", program.label, "': arenaBytes is negative");
  for (size_t i = 0; i < program.tensors.size(); i++) {
    const TensorSpec& tensor = program.tensors[i];
    elements_of(tensor.shape);
    if (tensor.space == Space::arena) check_extent(tensor, i, "the arena", program.arena_bytes);
    if (tensor.space == Space::buffer) {
      const auto found = buffer_bytes.find(tensor.name);
      require(found != buffer_bytes.end(), "tensor ", i, " lies in buffer '", tensor.name, "', which does not exist");
      check_extent(tensor, i, "its buffer", found->second);
    }
  }
  for (size_t i = 0; i < program.instructions.size(); i++) {
    const Instruction& instruction = program.instructions[i];
    for (const auto* operands : {&instruction.inputs, &instruction.outputs}) {
      for (const int index : *operands) {
        require(index == kNoTensor || (index >= 0 && static_cast<size_t>(index) < program.tensors.size()),
                "instruction ", i, " (", instruction.op, ") refers to tensor ", index, " of ", program.tensors.size());
      }
    }
    for (const int index : instruction.outputs) {
      require(index == kNoTensor || program.tensors[index].space != Space::weight, "instruction ", i, " (",
              instruction.op, ") would write the weight '", index == kNoTensor ? "" : program.tensors[index].name, "'");
    }
  }
  check_ports(program, program.inputs, "input");
  check_ports(program, program.outputs, "output");
}

}  // namespace lorikeet
