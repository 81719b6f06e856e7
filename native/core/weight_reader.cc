#include "weight_reader.h"

#include <atomic>

namespace lorikeet {

static int64_t work_of(const WeightSource& source) {
  return source.kind == WeightSource::Kind::file ? source.bytes : elements_of(source.shape) * 4;
}

static void check_spec(const WeightSpec& spec, SourceFiles& files) {
  require(spec.dtype == DType::f32 || spec.dtype == DType::bf16, "weight '", spec.name,
          "': dtype must be f32 or bf16, not ", name_of(spec.dtype));
  require(!spec.sources.empty(), "weight '", spec.name, "' has no source");
  int64_t elements = 0;
  for (const WeightSource& source : spec.sources) {
    files.check(source);
    elements += elements_of(source.shape);
  }
  require(elements == elements_of(spec.shape), "weight '", spec.name, "': its sources hold ", elements,
          " elements, its shape ", to_string(spec.shape), " has ", elements_of(spec.shape));
}

void require_same(const WeightSpec& used, const WeightSpec& next) {
  require(used.dtype == next.dtype && used.shape == next.shape, "weight '", next.name,
          "' is used by a compiled program as ", name_of(used.dtype), " ", to_string(used.shape),
          ": it cannot be replaced by ", name_of(next.dtype), " ", to_string(next.shape));
}

void read_weights(const std::vector<WeightSpec>& specs, const WeightProgress& progress,
                  const std::function<void*(const WeightSpec&)>& place,
                  const std::function<void(const WeightSpec&)>& finished) {
  SourceFiles files;
  int64_t total = 0;
  for (const WeightSpec& spec : specs) {
    check_spec(spec, files);
    for (const WeightSource& source : spec.sources) total += work_of(source);
  }
  std::atomic<int64_t> done{0};
  const Advance advance = [&](int64_t bytes) {
    const int64_t now = done.fetch_add(bytes) + bytes;
    return !progress || progress(now, total);
  };
  for (const WeightSpec& spec : specs) {
    char* to = static_cast<char*>(place(spec));
    for (const WeightSource& source : spec.sources) {
      read_source(source, files, spec.dtype, to, advance);
      to += elements_of(source.shape) * bytes_of(spec.dtype);
    }
    finished(spec);
  }
}

}  // namespace lorikeet
