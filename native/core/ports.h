// How values enter and leave a program: checked against its ports, rounded or widened on the way.
#pragma once

#include "device.h"

namespace lorikeet {

// Throws Error unless there is a value of the right type and length for each input, and for nothing else.
void check_inputs(const Program& program, const NamedValues& inputs);

void copy_in(const Values& values, DType dtype, void* to);
Values copy_out(const TensorSpec& tensor, const void* from);

// Elements of f32 or bf16 to f32, and back, rounded to nearest even.
std::vector<float> widened(const void* from, DType dtype, int64_t count);
void narrow(const std::vector<float>& values, DType dtype, void* to);

// Throws Error when the program's weights are not held here as it expects them.
void check_weights(const Program& program, const std::function<const WeightSpec&(const std::string& name)>& find);

// What all devices ask of buffers. All throw Error.
void check_new_buffer(const std::string& name, int64_t bytes, std::optional<DType> dtype);
void check_same_buffer(const std::string& name, int64_t bytes, std::optional<DType> dtype, int64_t wanted_bytes,
                       std::optional<DType> wanted_dtype);  // of one that exists already
void check_range(const std::string& name, int64_t buffer_bytes, int64_t offset, int64_t count, DType dtype);
void check_whole(const std::string& name, int64_t buffer_bytes, size_t given_bytes);
void check_pieces(const std::string& name, int64_t buffer_bytes, DType dtype, const std::vector<BufferPiece>& pieces,
                  SourceFiles& files);

// Throws Error: which instruction of which program met the problem.
[[noreturn]] void fail_at(const Program& program, size_t instruction, const char* message);

}  // namespace lorikeet
