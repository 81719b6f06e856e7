// Where the values of a weight (or of a piece of a buffer) come from: a range of a file, or a seeded generator.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <vector>

#include "tensor.h"

namespace lorikeet {

enum class FileType : uint8_t { f32, f16, bf16, f64 };
FileType file_type_from_name(const std::string& name);  // throws Error on an unknown name
int64_t bytes_of(FileType type);

struct WeightSource {
  enum class Kind : uint8_t { file, normal, uniform, constant };
  Kind kind = Kind::constant;
  Shape shape;  // as in the file; oihw sources arrive as ohwi

  // Kind::file: `bytes` bytes at `offset` of `path`, row-major.
  std::string path;
  int64_t offset = 0;
  int64_t bytes = 0;
  FileType type = FileType::f32;
  bool oihw = false;

  // Kind::normal, uniform: element i is a pure function of (seed, stream, i); `scale` is the standard deviation or the
  // bound. Kind::constant: every element is `scale`.
  uint64_t seed = 0;
  uint32_t stream = 0;
  double scale = 0;
};

// Opens each file once, checks that every range lies inside it, and reads by position: bounded buffers, no mapping, so
// a file that shrinks under us is an error and not a signal.
class SourceFiles {
 public:
  SourceFiles() = default;
  SourceFiles(const SourceFiles&) = delete;
  SourceFiles& operator=(const SourceFiles&) = delete;
  ~SourceFiles();
  void check(const WeightSource& source);  // throws Error naming the file
  int descriptor(const std::string& path) const;

 private:
  struct Open {
    int descriptor;
    int64_t bytes;
  };
  std::map<std::string, Open> files_;
};

// Called from any thread with the number of bytes just finished; returns false to stop (the reader then throws).
using Advance = std::function<bool(int64_t bytes)>;

// Writes the values of `source` to `to` (dtype f32 or bf16, rounded once to nearest even), in parallel.
void read_source(const WeightSource& source, const SourceFiles& files, DType dtype, void* to, const Advance& advance);

}  // namespace lorikeet
