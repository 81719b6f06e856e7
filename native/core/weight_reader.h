// Reading weights, whatever device they are for.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "weight_source.h"

namespace lorikeet {

struct WeightSpec {
  std::string name;
  DType dtype = DType::f32;
  Shape shape;
  std::vector<WeightSource> sources;  // their rows follow each other
  int64_t bytes() const { return elements_of(shape) * bytes_of(dtype); }
};

// A weight that a compiled program uses may only be replaced by one alike. Throws Error.
void require_same(const WeightSpec& used, const WeightSpec& next);

// Bytes of the sources done so far, and in all; returns false to cancel.
using WeightProgress = std::function<bool(int64_t done, int64_t total)>;

// Checks all specs and their files first, then reads one weight after the other: `place` says where in the host's
// memory it is to go (row-major, rounded to its dtype), `finished` takes it from there. Throws Error.
void read_weights(const std::vector<WeightSpec>& specs, const WeightProgress& progress,
                  const std::function<void*(const WeightSpec&)>& place,
                  const std::function<void(const WeightSpec&)>& finished);

}  // namespace lorikeet
