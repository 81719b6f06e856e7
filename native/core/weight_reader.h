// Reading weights, whatever device they are for.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "quantise.h"
#include "weight_source.h"

namespace lorikeet {

struct WeightSpec {
  std::string name;
  DType dtype = DType::f32;
  Shape shape;
  std::vector<WeightSource> sources;  // their rows follow each other
  Storage storage = Storage::plain;
  bool on_host = false;  // stays in the host's memory, on a device that has its own, and is fetched for each use

  // As programs see it: row-major values of its dtype.
  int64_t bytes() const { return elements_of(shape) * bytes_of(dtype); }
  // As it is stored.
  int64_t stored_bytes() const { return storage == Storage::plain ? bytes() : stored_layout(storage, shape).bytes; }
};

// How far a quantised weight is from what its sources say: |stored - given| / |given|, before rounding to its dtype.
struct StorageError {
  std::string name;
  Storage storage;
  double relative;
};

// A weight that a compiled program uses may only be replaced by one alike. Throws Error.
void require_same(const WeightSpec& used, const WeightSpec& next);

// Bytes of the sources done so far, and in all; returns false to cancel.
using WeightProgress = std::function<bool(int64_t done, int64_t total)>;

// Checks all specs and their files first, then reads one weight after the other: `place` says where in the host's
// memory its stored_bytes() are to go (row-major, rounded to its dtype; or quantised from f32, as quantise.h describes),
// `finished` takes them from there. Returns the errors of the quantised ones. Throws Error.
std::vector<StorageError> read_weights(const std::vector<WeightSpec>& specs, const WeightProgress& progress,
                                       const std::function<void*(const WeightSpec&)>& place,
                                       const std::function<void(const WeightSpec&)>& finished);

}  // namespace lorikeet
