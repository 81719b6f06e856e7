// From JavaScript objects to the records of native/core, and back. Everything throws Error naming the field at fault.
#pragma once

#include "../core/device.h"
#include "reader.h"

namespace lorikeet::binding {

Program to_program(const Reader& value);
std::vector<WeightSpec> to_weight_specs(const Reader& value);
std::vector<BufferPiece> to_buffer_pieces(const Reader& value);
EngineOptions to_engine_options(const Reader& value);

// Float32Array or Int32Array, copied: the caller may write to the array while the engine works.
Values to_values(const Reader& value);
NamedValues to_named_values(const Reader& value);
std::vector<float> to_floats(const Reader& value);
std::vector<uint8_t> to_bytes(const Reader& value);

Napi::Value from_floats(Napi::Env env, const std::vector<float>& values);
Napi::Value from_bytes(Napi::Env env, const std::vector<uint8_t>& bytes);
Napi::Value from_storage_errors(Napi::Env env, const std::vector<StorageError>& errors);
Napi::Value from_named_values(Napi::Env env, const NamedValues& values);

}  // namespace lorikeet::binding
