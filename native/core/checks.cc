#include "checks.h"

#include <cstring>

namespace lorikeet {

static void expect_list(const std::string& op, const char* kind, const std::vector<int>& indices,
                        std::initializer_list<const char*> names) {
  size_t i = 0;
  for (const char* name : names) {
    const bool optional = name[std::strlen(name) - 1] == '?';
    const bool present = i < indices.size() && indices[i] != kNoTensor;
    require(present || optional, op, ": ", kind, " ", i, " (", name, ") is absent");
    i++;
  }
  require(indices.size() <= names.size(), op, ": has ", indices.size(), " ", kind, "s, takes ", names.size());
}

void expect_operands(const OpRequest& request, std::initializer_list<const char*> inputs,
                     std::initializer_list<const char*> outputs) {
  expect_list(request.instruction.op, "input", request.instruction.inputs, inputs);
  expect_list(request.instruction.op, "output", request.instruction.outputs, outputs);
}

void expect_dtype(const OpRequest& request, const char* name, const TensorSpec& spec,
                  std::initializer_list<DType> allowed) {
  std::string list;
  for (const DType dtype : allowed) {
    if (dtype == spec.dtype) return;
    list += (list.empty() ? "" : " or ") + std::string(name_of(dtype));
  }
  fail(request.instruction.op, ": ", name, " is ", name_of(spec.dtype), " ", to_string(spec.shape), "; it must be ",
       list);
}

void expect_compute_dtype(const OpRequest& request, const char* name, const TensorSpec& spec) {
  expect_dtype(request, name, spec, {DType::f32, DType::bf16});
}

void expect_shape(const OpRequest& request, const char* name, const TensorSpec& spec, const Shape& expected,
                  const char* from_name, const TensorSpec& from) {
  require(spec.shape == expected, request.instruction.op, ": ", name, " is ", to_string(spec.shape), "; for ",
          from_name, " ", to_string(from.shape), " it must be ", to_string(expected));
}

void expect_accumulator(const OpRequest& request, const char* name, const TensorSpec& spec) {
  expect_dtype(request, name, spec, {DType::f32});
  require(spec.space == Space::buffer, request.instruction.op, ": ", name, " ", to_string(spec.shape),
          " is added to, so it must lie in a buffer");
}

void expect_in_place(const OpRequest& request, const char* name, size_t input, size_t output) {
  const TensorSpec& in = request.inputs[input];
  const TensorSpec& out = request.outputs[output];
  const bool same_place = in.space == out.space && in.offset == out.offset &&
                          (in.space == Space::arena || in.name == out.name);
  require(same_place && in.dtype == out.dtype && in.shape == out.shape, request.instruction.op, ": ", name,
          " is updated in place, so its output ", to_string(out.shape), " must be its input ", to_string(in.shape));
}

Shape with_columns(Shape shape, int64_t columns) {
  if (shape.empty()) shape.push_back(columns);
  shape.back() = columns;
  return shape;
}

int64_t batch_of(const OpRequest& request, const char* name, const TensorSpec& spec) {
  require(!spec.shape.empty(), request.instruction.op, ": ", name, " is a scalar; its first extent must be the batch");
  return spec.shape[0];
}

}  // namespace lorikeet
