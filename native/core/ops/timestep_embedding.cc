#include "timestep_embedding.h"

#include <cmath>

#include "../checks.h"

namespace lorikeet {

TimestepEmbedding read_timestep_embedding(const OpRequest& request) {
  expect_operands(request, {"t"}, {"y"});
  const TensorSpec& t = request.inputs[0];
  const TensorSpec& y = request.outputs[0];
  const double max_period = request.instruction.number("max_period");
  const double shift = request.instruction.number("shift");
  TimestepEmbedding result;
  result.cos_first = request.instruction.integer("cos_first") != 0;
  const int64_t batch = result.batch = batch_of(request, "t", t);
  const int64_t half = result.half = columns_of(y) / 2;
  expect_dtype(request, "t", t, {DType::f32});
  expect_compute_dtype(request, "y", y);
  expect_shape(request, "t", t, {batch}, "y", y);
  expect_shape(request, "y", y, {batch, 2 * half}, "t", t);
  require(max_period > 0, "timestep_embedding: max_period is ", max_period, "; it must be above 0");
  require(half - shift > 0, "timestep_embedding: shift is ", shift, "; it must be below half of y's ", 2 * half,
          " columns");

  for (int64_t i = 0; i < half; i++) {
    const float exponent = static_cast<float>(-std::log(max_period)) * i / static_cast<float>(half - shift);
    result.frequencies.push_back(static_cast<float>(std::exp(static_cast<double>(exponent))));
  }
  return result;
}

}  // namespace lorikeet
