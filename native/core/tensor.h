// Tensors as kernels see them: a dtype, a shape (row-major, channels last) and a pointer that someone else owns.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "error.h"

namespace lorikeet {

enum class DType : uint8_t { f32, bf16, f16, i32 };

inline int64_t bytes_of(DType dtype) { return dtype == DType::f32 || dtype == DType::i32 ? 4 : 2; }
const char* name_of(DType dtype);
DType dtype_from_name(const std::string& name);  // throws Error on an unknown name

using Shape = std::vector<int64_t>;

std::string to_string(const Shape& shape);
int64_t elements_of(const Shape& shape);  // 1 for a scalar; throws Error on overflow or a negative extent

struct Tensor {
  DType dtype = DType::f32;
  Shape shape;
  void* data = nullptr;

  int64_t elements() const { return elements_of(shape); }
  int64_t bytes() const { return elements() * bytes_of(dtype); }
  // A tensor [.., C] is a matrix of `rows()` rows and `columns()` columns.
  int64_t columns() const { return shape.empty() ? 1 : shape.back(); }
  int64_t rows() const { return columns() == 0 ? 0 : elements() / columns(); }

  template <typename T>
  T* as() const {
    return static_cast<T*>(data);
  }
};

}  // namespace lorikeet
