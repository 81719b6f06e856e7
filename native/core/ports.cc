#include "ports.h"

#include <algorithm>
#include <cstring>

#include "numbers.h"

namespace lorikeet {

void check_inputs(const Program& program, const NamedValues& inputs) {
  for (const Port& port : program.inputs) {
    const TensorSpec& tensor = program.tensors[port.tensor];
    const auto found = inputs.find(port.name);
    require(found != inputs.end(), "program '", program.label, "': input '", port.name, "' is missing");
    const bool whole = std::holds_alternative<std::vector<int32_t>>(found->second);
    require(whole == (tensor.dtype == DType::i32), "program '", program.label, "': input '", port.name, "' is ",
            name_of(tensor.dtype), ": expected ", tensor.dtype == DType::i32 ? "an Int32Array" : "a Float32Array");
    const size_t length = std::visit([](const auto& values) { return values.size(); }, found->second);
    require(static_cast<int64_t>(length) == elements_of(tensor.shape), "program '", program.label, "': input '",
            port.name, "' has ", length, " elements, expected shape ", to_string(tensor.shape));
  }
  for (const auto& [name, values] : inputs) {
    const bool known = std::any_of(program.inputs.begin(), program.inputs.end(),
                                   [&name = name](const Port& port) { return port.name == name; });
    require(known, "program '", program.label, "' has no input '", name, "'");
  }
}

std::vector<float> widened(const void* from, DType dtype, int64_t count) {
  std::vector<float> values(static_cast<size_t>(count));
  if (dtype == DType::bf16) {
    const uint16_t* narrow = static_cast<const uint16_t*>(from);
    for (int64_t i = 0; i < count; i++) values[i] = f32_from_bf16(narrow[i]);
  } else if (count > 0) {
    std::memcpy(values.data(), from, static_cast<size_t>(count) * 4);
  }
  return values;
}

void narrow(const std::vector<float>& values, DType dtype, void* to) {
  if (dtype == DType::bf16) {
    uint16_t* narrow = static_cast<uint16_t*>(to);
    for (size_t i = 0; i < values.size(); i++) narrow[i] = bf16_from_f32(values[i]);
  } else if (!values.empty()) {
    std::memcpy(to, values.data(), values.size() * 4);
  }
}

void copy_in(const Values& values, DType dtype, void* to) {
  if (const auto* floats = std::get_if<std::vector<float>>(&values)) return narrow(*floats, dtype, to);
  const auto& whole = std::get<std::vector<int32_t>>(values);
  if (!whole.empty()) std::memcpy(to, whole.data(), whole.size() * 4);
}

Values copy_out(const TensorSpec& tensor, const void* from) {
  const int64_t n = elements_of(tensor.shape);
  if (tensor.dtype != DType::i32) return widened(from, tensor.dtype, n);
  std::vector<int32_t> values(static_cast<size_t>(n));
  if (n > 0) std::memcpy(values.data(), from, static_cast<size_t>(n) * 4);
  return values;
}

void check_weights(const Program& program, const std::function<const WeightSpec&(const std::string& name)>& find) {
  for (const TensorSpec& tensor : program.tensors) {
    if (tensor.space != Space::weight) continue;
    const WeightSpec& weight = find(tensor.name);
    require(weight.dtype == tensor.dtype, "weight '", tensor.name, "' is held as ", name_of(weight.dtype),
            ", the program expects ", name_of(tensor.dtype));
    // A 1x1 convolution's weight may be read as a matrix and so on: the elements are the same.
    require(elements_of(weight.shape) == elements_of(tensor.shape), "weight '", tensor.name, "' has shape ",
            to_string(weight.shape), ", the program expects ", to_string(tensor.shape));
  }
}

void check_new_buffer(const std::string& name, int64_t bytes, std::optional<DType> dtype) {
  require(bytes >= 0, "buffer '", name, "': ", bytes, " bytes");
  require(!dtype || *dtype == DType::f32 || *dtype == DType::bf16, "buffer '", name, "': dtype must be f32 or bf16");
}

void check_same_buffer(const std::string& name, int64_t bytes, std::optional<DType> dtype, int64_t wanted_bytes,
                       std::optional<DType> wanted_dtype) {
  check_new_buffer(name, wanted_bytes, wanted_dtype);
  require(bytes == wanted_bytes, "buffer '", name, "' exists with ", bytes, " bytes, not ", wanted_bytes);
  require(!wanted_dtype || !dtype || *wanted_dtype == *dtype, "buffer '", name, "' exists with another dtype");
}

void check_range(const std::string& name, int64_t buffer_bytes, int64_t offset, int64_t count, DType dtype) {
  require(count >= 0 && count <= buffer_bytes, "buffer '", name, "': count ", count, " is out of range");
  const int64_t bytes = count * bytes_of(dtype);
  require(offset >= 0 && offset % bytes_of(dtype) == 0 && offset <= buffer_bytes && bytes <= buffer_bytes - offset,
          "buffer '", name, "': ", bytes, " bytes at ", offset, " do not lie inside its ", buffer_bytes, " bytes");
}

void check_whole(const std::string& name, int64_t buffer_bytes, size_t given_bytes) {
  require(given_bytes == static_cast<size_t>(buffer_bytes), "buffer '", name, "' has ", buffer_bytes, " bytes, not ",
          given_bytes);
}

void check_pieces(const std::string& name, int64_t buffer_bytes, DType dtype, const std::vector<BufferPiece>& pieces,
                  SourceFiles& files) {
  for (const BufferPiece& piece : pieces) {
    files.check(piece.source);
    const int64_t elements = elements_of(piece.source.shape);
    require(elements_of(piece.shape) == elements, "buffer '", name, "': a source of shape ",
            to_string(piece.source.shape), " cannot fill a piece of shape ", to_string(piece.shape));
    check_range(name, buffer_bytes, piece.offset, elements, dtype);
  }
}

void fail_at(const Program& program, size_t index, const char* message) {
  const Instruction& instruction = program.instructions[index];
  const bool labelled = !instruction.outputs.empty() && instruction.outputs[0] != kNoTensor;
  fail("program '", program.label, "', instruction ", index, " (", instruction.op, ")",
       labelled ? " '" + program.tensors[instruction.outputs[0]].name + "'" : "", ": ", message);
}

}  // namespace lorikeet
