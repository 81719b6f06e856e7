#include "weight_source.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <mutex>

#include "numbers.h"
#include "philox.h"

namespace lorikeet {

// Elements converted at a time: 1 MiB of f32, small enough for the caches and large enough for the disk.
constexpr int64_t kChunk = int64_t{1} << 18;

FileType file_type_from_name(const std::string& name) {
  if (name == "f32") return FileType::f32;
  if (name == "f16") return FileType::f16;
  if (name == "bf16") return FileType::bf16;
  if (name == "f64") return FileType::f64;
  fail("unknown dtype '", name, "' of a weight in a file: expected f32, f16, bf16 or f64");
}

int64_t bytes_of(FileType type) {
  if (type == FileType::f64) return 8;
  return type == FileType::f32 ? 4 : 2;
}

SourceFiles::~SourceFiles() {
  for (const auto& [path, file] : files_) close(file.descriptor);
}

void SourceFiles::check(const WeightSource& source) {
  const int64_t elements = elements_of(source.shape);
  if (source.kind != WeightSource::Kind::file) return;
  require(source.bytes == elements * bytes_of(source.type), source.path, ": ", source.bytes,
          " bytes cannot hold shape ", to_string(source.shape), " of ", bytes_of(source.type), "-byte elements");
  require(!source.oihw || source.shape.size() == 4, source.path, ": layout oihw needs four extents, got ",
          to_string(source.shape));
  auto found = files_.find(source.path);
  if (found == files_.end()) {
    const int descriptor = open(source.path.c_str(), O_RDONLY | O_CLOEXEC);
    require(descriptor >= 0, source.path, ": cannot open: ", std::strerror(errno));
    struct stat status;
    if (fstat(descriptor, &status) != 0 || !S_ISREG(status.st_mode)) {
      close(descriptor);
      fail(source.path, ": not a regular file");
    }
    found = files_.emplace(source.path, Open{descriptor, status.st_size}).first;
  }
  require(
      source.offset >= 0 && source.bytes <= found->second.bytes && source.offset <= found->second.bytes - source.bytes,
      source.path, ": a tensor of ", source.bytes, " bytes at ", source.offset, " lies outside the file of ",
      found->second.bytes, " bytes");
}

int SourceFiles::descriptor(const std::string& path) const { return files_.at(path).descriptor; }

namespace {

// The first message wins; exceptions must not leave a parallel region.
class FirstError {
 public:
  void set(const std::string& message) {
    const std::lock_guard<std::mutex> lock(mutex_);
    if (!failed_) message_ = message;
    failed_ = true;
  }
  bool failed() const { return failed_; }
  void rethrow() const {
    if (failed_) throw Error(message_);
  }

 private:
  std::mutex mutex_;
  std::atomic<bool> failed_{false};
  std::string message_;
};

void store(DType dtype, void* to, int64_t index, float value) {
  if (dtype == DType::f32) {
    static_cast<float*>(to)[index] = value;
  } else {
    static_cast<uint16_t*>(to)[index] = bf16_from_f32(value);
  }
}

// n values at `from` to consecutive elements.
void convert(FileType type, const char* from, int64_t n, DType dtype, void* to) {
  if (type == FileType::bf16 && dtype == DType::bf16) {
    std::memcpy(to, from, static_cast<size_t>(n) * 2);
    return;
  }
  if (type == FileType::f32 && dtype == DType::f32) {
    std::memcpy(to, from, static_cast<size_t>(n) * 4);
    return;
  }
  const auto each = [&](auto sample, auto widen) {
    using Sample = decltype(sample);
    const Sample* values = reinterpret_cast<const Sample*>(from);
    if (dtype == DType::f32) {
      for (int64_t i = 0; i < n; i++) static_cast<float*>(to)[i] = widen(values[i]);
    } else {
      for (int64_t i = 0; i < n; i++) static_cast<uint16_t*>(to)[i] = bf16_from_f32(widen(values[i]));
    }
  };
  switch (type) {
    case FileType::f32: return each(float{}, [](float x) { return x; });
    case FileType::f64: return each(double{}, [](double x) { return static_cast<float>(x); });
    case FileType::bf16: return each(uint16_t{}, [](uint16_t x) { return f32_from_bf16(x); });
    case FileType::f16: return each(uint16_t{}, [](uint16_t x) { return f32_from_f16(x); });
  }
}

bool read_fully(int descriptor, char* to, int64_t bytes, int64_t offset) {
  while (bytes > 0) {
    const ssize_t count = pread(descriptor, to, static_cast<size_t>(bytes), offset);
    if (count < 0 && errno == EINTR) continue;
    if (count <= 0) return false;
    to += count;
    bytes -= count;
    offset += count;
  }
  return true;
}

// Runs body(begin, end, scratch) over pieces of 0..n of at most `step`, in parallel; body returns an error message or
// "".
template <typename Body>
void in_pieces(int64_t n, int64_t step, int64_t scratch_bytes, int64_t bytes_each, const Advance& advance,
               const Body& body) {
  FirstError error;
  const int64_t pieces = (n + step - 1) / step;
#pragma omp parallel if (pieces > 1)
  {
    std::vector<double> scratch;  // doubles for their alignment
    try {
      scratch.resize(static_cast<size_t>(scratch_bytes + 7) / 8);
    } catch (const std::exception&) {
      error.set("out of memory while reading weights");
    }
#pragma omp for schedule(dynamic)
    for (int64_t piece = 0; piece < pieces; piece++) {
      if (error.failed()) continue;
      const int64_t begin = piece * step;
      const int64_t end = std::min(n, begin + step);
      const std::string message = body(begin, end, reinterpret_cast<char*>(scratch.data()));
      if (!message.empty()) error.set(message);
      if (advance && !advance((end - begin) * bytes_each)) error.set("reading weights was cancelled");
    }
  }
  error.rethrow();
}

void read_plain(const WeightSource& source, int descriptor, DType dtype, void* to, const Advance& advance) {
  const int64_t size = bytes_of(source.type);
  const bool direct = size == bytes_of(dtype) && source.type != FileType::f16;
  in_pieces(elements_of(source.shape), kChunk, direct ? 0 : kChunk * size, size, advance,
            [&](int64_t begin, int64_t end, char* scratch) -> std::string {
              char* place = static_cast<char*>(to) + begin * bytes_of(dtype);
              char* buffer = direct ? place : scratch;
              if (!read_fully(descriptor, buffer, (end - begin) * size, source.offset + begin * size)) {
                return source.path + ": cannot read: " + (errno ? std::strerror(errno) : "the file ended early");
              }
              if (!direct) convert(source.type, buffer, end - begin, dtype, place);
              return "";
            });
}

// [O, I, h, w] in the file becomes [O, h, w, I]: every output channel is transposed on its own.
void read_oihw(const WeightSource& source, int descriptor, DType dtype, void* to, const Advance& advance) {
  const int64_t size = bytes_of(source.type);
  const int64_t in = source.shape[1];
  const int64_t taps = source.shape[2] * source.shape[3];
  const int64_t row = in * taps;
  if (row == 0) return;
  const int64_t raw_bytes = (row * size + 7) / 8 * 8;
  in_pieces(source.shape[0], 1, raw_bytes + row * 4, row * size, advance,
            [&](int64_t begin, int64_t end, char* raw) -> std::string {
              float* wide = reinterpret_cast<float*>(raw + raw_bytes);
              for (int64_t o = begin; o < end; o++) {
                if (!read_fully(descriptor, raw, row * size, source.offset + o * row * size)) {
                  return source.path + ": cannot read: " + (errno ? std::strerror(errno) : "the file ended early");
                }
                convert(source.type, raw, row, DType::f32, wide);
                for (int64_t tap = 0; tap < taps; tap++) {
                  for (int64_t i = 0; i < in; i++) store(dtype, to, o * row + tap * in + i, wide[i * taps + tap]);
                }
              }
              return "";
            });
}

void generate(const WeightSource& source, DType dtype, void* to, const Advance& advance) {
  const int64_t n = elements_of(source.shape);
  in_pieces(n, kChunk, 0, 4, advance, [&](int64_t begin, int64_t end, char*) -> std::string {
    for (int64_t i = begin; i < end; i += 4) {  // kChunk is a multiple of four, so blocks never straddle pieces
      float values[4];
      if (source.kind == WeightSource::Kind::constant) {
        std::fill(values, values + 4, static_cast<float>(source.scale));
      } else {
        const PhiloxBlock block = philox_block(source.seed, source.stream, 0, static_cast<uint64_t>(i / 4));
        if (source.kind == WeightSource::Kind::normal) {
          normals_of(block, values);
          for (float& value : values) value = static_cast<float>(value * source.scale);
        } else {
          for (int k = 0; k < 4; k++) values[k] = static_cast<float>((2 * uniform_of(block[k]) - 1) * source.scale);
        }
      }
      for (int64_t k = 0; k < 4 && i + k < end; k++) store(dtype, to, i + k, values[k]);
    }
    return "";
  });
}

}  // namespace

void read_source(const WeightSource& source, const SourceFiles& files, DType dtype, void* to, const Advance& advance) {
  require(dtype == DType::f32 || dtype == DType::bf16, "weights are held as f32 or bf16, not ", name_of(dtype));
  if (source.kind != WeightSource::Kind::file) return generate(source, dtype, to, advance);
  const int descriptor = files.descriptor(source.path);
  errno = 0;
  if (source.oihw) return read_oihw(source, descriptor, dtype, to, advance);
  read_plain(source, descriptor, dtype, to, advance);
}

}  // namespace lorikeet
