// What factories check before they return a kernel. Every function throws Error naming the op, the operand, what it is
// and what it must be.
#pragma once

#include <initializer_list>

#include "kernel.h"

namespace lorikeet {

// The operands by name, in order; a name that ends in '?' is optional. Absent or surplus operands are errors.
void expect_operands(const OpRequest& request, std::initializer_list<const char*> inputs,
                     std::initializer_list<const char*> outputs);

void expect_dtype(const OpRequest& request, const char* name, const TensorSpec& spec,
                  std::initializer_list<DType> allowed);

// f32 or bf16
void expect_compute_dtype(const OpRequest& request, const char* name, const TensorSpec& spec);

// The shape that follows from the shape of the operand `from_name`.
void expect_shape(const OpRequest& request, const char* name, const TensorSpec& spec, const Shape& expected,
                  const char* from_name, const TensorSpec& from);

// An output that the op adds to: f32, in a buffer.
void expect_accumulator(const OpRequest& request, const char* name, const TensorSpec& spec);

// An output that is the same bytes as an input.
void expect_in_place(const OpRequest& request, const char* name, size_t input, size_t output);

inline int64_t columns_of(const TensorSpec& spec) { return spec.shape.empty() ? 1 : spec.shape.back(); }
inline int64_t rows_of(const TensorSpec& spec) {
  const int64_t columns = columns_of(spec);
  return columns == 0 ? 0 : elements_of(spec.shape) / columns;
}

// The shape with another number of columns.
Shape with_columns(Shape shape, int64_t columns);

// Samples of a batch: the first extent. Throws Error for a scalar.
int64_t batch_of(const OpRequest& request, const char* name, const TensorSpec& spec);

}  // namespace lorikeet
