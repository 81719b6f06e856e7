#include "decode.h"

#include <cstring>

namespace lorikeet::binding {

static Space to_space(const Reader& value) {
  const std::string name = value.text();
  if (name == "arena") return Space::arena;
  if (name == "weight") return Space::weight;
  if (name == "buffer") return Space::buffer;
  fail(value.path(), ": expected 'arena', 'weight' or 'buffer', got '", name, "'");
}

static DType to_dtype(const Reader& value) {
  const std::string name = value.text();
  try {
    return dtype_from_name(name);
  } catch (const Error& error) {
    fail(value.path(), ": ", error.what());
  }
}

static TensorSpec to_tensor(const Reader& value) {
  TensorSpec tensor;
  tensor.dtype = to_dtype(value.field("dtype"));
  tensor.shape = value.field("shape").integers();
  tensor.space = to_space(value.field("space"));
  const Reader offset = value.field("offset");
  if (!offset.absent()) tensor.offset = offset.integer();
  const Reader name = value.field("name");
  if (!name.absent()) tensor.name = name.text();
  return tensor;
}

static Attribute to_attribute(const Reader& value) {
  if (value.value().IsNumber()) return value.number();
  if (value.value().IsString()) return value.text();
  if (!value.value().IsArray()) value.expected("a number, text or a list of numbers");
  std::vector<double> numbers;
  for (const Reader& item : value.items()) numbers.push_back(item.number());
  return numbers;
}

static std::vector<int> to_indices(const Reader& value) {
  std::vector<int> indices;
  for (const Reader& item : value.items()) indices.push_back(static_cast<int>(item.integer(kNoTensor, INT32_MAX)));
  return indices;
}

static Instruction to_instruction(const Reader& value) {
  Instruction instruction;
  instruction.op = value.field("op").text();
  instruction.inputs = to_indices(value.field("inputs"));
  instruction.outputs = to_indices(value.field("outputs"));
  const Reader attributes = value.field("attributes");
  if (attributes.absent()) return instruction;
  for (const auto& [name, attribute] : attributes.entries()) {
    if (!attribute.absent()) instruction.attributes[name] = to_attribute(attribute);
  }
  return instruction;
}

static std::vector<Port> to_ports(const Reader& value) {
  std::vector<Port> ports;
  for (const Reader& item : value.items()) {
    ports.push_back({item.field("name").text(), static_cast<int>(item.field("tensor").integer(0, INT32_MAX))});
  }
  return ports;
}

// Handles of the values read are given back here and there: a program has some ten thousand of them.
template <typename Result, typename Convert>
static std::vector<Result> to_list(const Reader& value, const Convert& convert) {
  if (!value.value().IsArray()) value.expected("an array");
  std::vector<Result> results;
  for (const Reader& item : value.items()) {
    const Napi::HandleScope scope(value.value().Env());
    results.push_back(convert(item));
  }
  return results;
}

Program to_program(const Reader& value) {
  Program program;
  program.version = static_cast<int>(value.field("version").integer(0, INT32_MAX));
  require(program.version == kFormatVersion, value.path(), " has format version ", program.version,
          ", this addon runs version ", kFormatVersion);
  program.label = value.field("label").text();
  program.arena_bytes = value.field("arenaBytes").integer();
  program.tensors = to_list<TensorSpec>(value.field("tensors"), to_tensor);
  program.instructions = to_list<Instruction>(value.field("instructions"), to_instruction);
  program.inputs = to_ports(value.field("inputs"));
  program.outputs = to_ports(value.field("outputs"));
  return program;
}

static uint64_t to_seed(const Reader& value) { return static_cast<uint64_t>(value.integer(0, 9007199254740991)); }

static WeightSource to_source(const Reader& value) {
  WeightSource source;
  source.shape = value.field("shape").integers();
  const Reader kind = value.field("kind");
  const std::string name = kind.text();
  if (name == "file") {
    source.kind = WeightSource::Kind::file;
    source.path = value.field("path").text();
    source.offset = value.field("offset").integer();
    source.bytes = value.field("bytes").integer();
    const Reader dtype = value.field("dtype");
    try {
      source.type = file_type_from_name(dtype.text());
    } catch (const Error& error) {
      fail(value.path(), ": ", error.what());
    }
    const Reader layout = value.field("layout");
    if (layout.absent()) return source;
    const std::string order = layout.text();
    require(order == "plain" || order == "oihw", layout.path(), ": expected 'plain' or 'oihw', got '", order, "'");
    source.oihw = order == "oihw";
    return source;
  }
  if (name == "constant") {
    source.kind = WeightSource::Kind::constant;
    source.scale = value.field("value").number();
    return source;
  }
  require(name == "normal" || name == "uniform", kind.path(),
          ": expected 'file', 'normal', 'uniform' or 'constant', got '", name, "'");
  source.kind = name == "normal" ? WeightSource::Kind::normal : WeightSource::Kind::uniform;
  source.seed = to_seed(value.field("seed"));
  source.stream = static_cast<uint32_t>(value.field("stream").integer(0, UINT32_MAX));
  source.scale = value.field(name == "normal" ? "std" : "bound").number();
  return source;
}

static Storage to_storage(const Reader& value) {
  try {
    return storage_from_name(value.text());
  } catch (const Error& error) {
    fail(value.path(), ": ", error.what());
  }
}

static WeightSpec to_weight_spec(const Reader& value) {
  WeightSpec spec;
  spec.name = value.field("name").text();
  spec.dtype = to_dtype(value.field("dtype"));
  spec.shape = value.field("shape").integers();
  const Reader storage = value.field("storage");
  if (!storage.absent()) spec.storage = to_storage(storage);
  if (const Reader on_host = value.field("onHost"); !on_host.absent()) spec.on_host = on_host.boolean();
  const Reader sources = value.field("sources");
  for (const Reader& source : sources.items()) spec.sources.push_back(to_source(source));
  return spec;
}

std::vector<WeightSpec> to_weight_specs(const Reader& value) { return to_list<WeightSpec>(value, to_weight_spec); }

static BufferPiece to_piece(const Reader& value) {
  BufferPiece piece;
  piece.offset = value.field("offset").integer();
  piece.source = to_source(value.field("source"));
  piece.shape = value.field("shape").integers();
  return piece;
}

std::vector<BufferPiece> to_buffer_pieces(const Reader& value) { return to_list<BufferPiece>(value, to_piece); }

EngineOptions to_engine_options(const Reader& value) {
  EngineOptions options;
  options.compute_dtype = to_dtype(value.field("computeDtype"));
  const Reader threads = value.field("threads");
  if (!threads.absent()) options.threads = static_cast<int>(threads.integer(1, 4096));
  const Reader budget = value.field("memoryBudget");
  if (!budget.absent()) options.memory_budget = budget.integer(1, int64_t{1} << 50);
  const Reader choices = value.field("choices");
  if (!choices.absent()) {
    for (const auto& [problem, kernel] : choices.entries()) options.choices[problem] = kernel.text();
  }
  const Reader measure = value.field("measure");
  if (!measure.absent()) options.measure = measure.boolean();
  return options;
}

template <typename Element>
static std::vector<Element> copied(const Napi::TypedArray& array) {
  std::vector<Element> values(array.ElementLength());
  const auto* bytes = static_cast<const char*>(array.ArrayBuffer().Data());
  if (!values.empty()) std::memcpy(values.data(), bytes + array.ByteOffset(), values.size() * sizeof(Element));
  return values;
}

std::vector<float> to_floats(const Reader& value) {
  const bool right =
      value.value().IsTypedArray() && value.value().As<Napi::TypedArray>().TypedArrayType() == napi_float32_array;
  if (!right) value.expected("a Float32Array");
  return copied<float>(value.value().As<Napi::TypedArray>());
}

std::vector<uint8_t> to_bytes(const Reader& value) {
  const bool right =
      value.value().IsTypedArray() && value.value().As<Napi::TypedArray>().TypedArrayType() == napi_uint8_array;
  if (!right) value.expected("a Uint8Array");
  return copied<uint8_t>(value.value().As<Napi::TypedArray>());
}

Values to_values(const Reader& value) {
  if (value.value().IsTypedArray()) {
    const Napi::TypedArray array = value.value().As<Napi::TypedArray>();
    if (array.TypedArrayType() == napi_float32_array) return copied<float>(array);
    if (array.TypedArrayType() == napi_int32_array) return copied<int32_t>(array);
  }
  value.expected("a Float32Array or an Int32Array");
}

NamedValues to_named_values(const Reader& value) {
  NamedValues values;
  for (const auto& [name, item] : value.entries()) values[name] = to_values(item);
  return values;
}

template <typename Array, typename Element>
static Napi::Value typed(Napi::Env env, const std::vector<Element>& values) {
  Array array = Array::New(env, values.size());
  if (!values.empty()) std::memcpy(array.Data(), values.data(), values.size() * sizeof(Element));
  return array;
}

Napi::Value from_floats(Napi::Env env, const std::vector<float>& values) {
  return typed<Napi::Float32Array>(env, values);
}

Napi::Value from_bytes(Napi::Env env, const std::vector<uint8_t>& bytes) {
  return typed<Napi::Uint8Array>(env, bytes);
}

Napi::Value from_storage_errors(Napi::Env env, const std::vector<StorageError>& errors) {
  Napi::Array list = Napi::Array::New(env, errors.size());
  for (uint32_t i = 0; i < errors.size(); i++) {
    Napi::Object one = Napi::Object::New(env);
    one.Set("name", errors[i].name);
    one.Set("storage", name_of(errors[i].storage));
    one.Set("relative", errors[i].relative);
    list.Set(i, one);
  }
  return list;
}

Napi::Value from_named_values(Napi::Env env, const NamedValues& values) {
  Napi::Object result = Napi::Object::New(env);
  for (const auto& [name, value] : values) {
    if (const auto* floats = std::get_if<std::vector<float>>(&value)) {
      result.Set(name, from_floats(env, *floats));
    } else {
      result.Set(name, typed<Napi::Int32Array>(env, std::get<std::vector<int32_t>>(value)));
    }
  }
  return result;
}

}  // namespace lorikeet::binding
