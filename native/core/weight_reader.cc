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
  const bool same = used.dtype == next.dtype && used.shape == next.shape && used.storage == next.storage &&
                    used.on_host == next.on_host;
  const auto stored_as = [](const WeightSpec& spec) {
    return (spec.storage == Storage::plain ? std::string() : std::string(" stored as ") + name_of(spec.storage)) +
           (spec.on_host ? " on the host" : "");
  };
  require(same, "weight '", next.name, "' is used by a compiled program as ", name_of(used.dtype), " ",
          to_string(used.shape), stored_as(used), ": it cannot be replaced by ", name_of(next.dtype), " ",
          to_string(next.shape), stored_as(next));
}

static void read_sources(const WeightSpec& spec, DType dtype, const SourceFiles& files, const Advance& advance,
                         void* place) {
  char* to = static_cast<char*>(place);
  for (const WeightSource& source : spec.sources) {
    read_source(source, files, dtype, to, advance);
    to += elements_of(source.shape) * bytes_of(dtype);
  }
}

static StorageError quantised(const WeightSpec& spec, const std::vector<float>& values, void* stored) {
  try {
    return {spec.name, spec.storage, quantise(values.data(), spec.storage, spec.shape, stored)};
  } catch (const Error& error) {
    fail("weight '", spec.name, "': ", error.what());
  }
}

std::vector<StorageError> read_weights(const std::vector<WeightSpec>& specs, const WeightProgress& progress,
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
  std::vector<StorageError> errors;
  std::vector<float> values;  // of a weight that is to be quantised: not rounded twice
  for (const WeightSpec& spec : specs) {
    void* to = place(spec);
    if (spec.storage == Storage::plain) {
      read_sources(spec, spec.dtype, files, advance, to);
    } else {
      values.resize(static_cast<size_t>(elements_of(spec.shape)));
      read_sources(spec, DType::f32, files, advance, values.data());
      errors.push_back(quantised(spec, values, to));
    }
    finished(spec);
  }
  return errors;
}

}  // namespace lorikeet
