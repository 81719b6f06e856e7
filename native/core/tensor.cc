#include "tensor.h"

namespace lorikeet {

const char* name_of(DType dtype) {
  switch (dtype) {
    case DType::f32: return "f32";
    case DType::bf16: return "bf16";
    case DType::f16: return "f16";
    case DType::i32: return "i32";
  }
  return "?";
}

DType dtype_from_name(const std::string& name) {
  for (const DType dtype : {DType::f32, DType::bf16, DType::f16, DType::i32}) {
    if (name == name_of(dtype)) return dtype;
  }
  fail("unknown dtype '", name, "': expected f32, bf16, f16 or i32");
}

std::string to_string(const Shape& shape) {
  std::ostringstream out;
  out << '[';
  for (size_t i = 0; i < shape.size(); i++) out << (i ? ", " : "") << shape[i];
  out << ']';
  return out.str();
}

int64_t elements_of(const Shape& shape) {
  int64_t count = 1;
  for (const int64_t extent : shape) {
    require(extent >= 0, "shape ", to_string(shape), " has a negative extent");
    // Room for eight bytes an element, so that byte counts cannot overflow either.
    require(extent == 0 || count <= INT64_MAX / 8 / extent, "shape ", to_string(shape), " is too large");
    count *= extent;
  }
  return count;
}

}  // namespace lorikeet
