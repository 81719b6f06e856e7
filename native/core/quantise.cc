#include "quantise.h"

#include <algorithm>
#include <cmath>

#include "numbers.h"

namespace lorikeet {

Storage storage_from_name(const std::string& name) {
  for (const Storage storage : {Storage::plain, Storage::nf4, Storage::int8, Storage::fp8}) {
    if (name == name_of(storage)) return storage;
  }
  fail("unknown storage '", name, "' of a weight: expected plain, nf4, int8 or fp8");
}

const char* name_of(Storage storage) {
  switch (storage) {
    case Storage::plain: return "plain";
    case Storage::nf4: return "nf4";
    case Storage::int8: return "int8";
    case Storage::fp8: return "fp8";
  }
  return "?";
}

namespace {

constexpr float kLargestFp8 = 448.0f;

// The elements [begin, end) that share scale `index`, and where their codes begin.
struct Groups {
  int64_t elements, count, length;
  bool half_bytes;

  int64_t begin(int64_t index) const { return index * length; }
  int64_t size(int64_t index) const { return std::min(length, elements - begin(index)); }
  int64_t code_bytes() const { return half_bytes ? (elements + 1) / 2 : elements; }
  int64_t code_offset(int64_t index) const { return half_bytes ? begin(index) / 2 : begin(index); }
};

Groups groups_of(Storage storage, const Shape& shape) {
  require(storage != Storage::plain, "plain weights have no codes");
  const int64_t elements = elements_of(shape);
  if (storage == Storage::nf4) return {elements, (elements + kNf4Block - 1) / kNf4Block, kNf4Block, true};
  const int64_t rows = shape.empty() ? 1 : shape[0];
  return {elements, rows, rows == 0 ? 0 : elements / rows, false};
}

float largest_magnitude(const float* values, int64_t n) {
  uint32_t largest = 0;  // magnitudes are ordered as their bits are, and what is not finite comes last
  for (int64_t i = 0; i < n; i++) largest = std::max(largest, bits_of(values[i]) & 0x7fffffffu);
  return f32_from_bits(largest);
}

uint8_t nf4_code(float x) {
  int code = 0;
  for (int level = 0; level < 15; level++) code += (kNf4Levels[level] + kNf4Levels[level + 1]) * 0.5f < x ? 1 : 0;
  return static_cast<uint8_t>(code);
}

// Rounded to nearest even; what is too large becomes the largest.
uint8_t fp8_code(float x) {
  const uint32_t sign = bits_of(x) >> 24 & 0x80u;
  const float magnitude = std::min(std::fabs(x), kLargestFp8);
  const uint32_t bits = bits_of(magnitude);
  // Below 2^-6 the format's numbers are multiples of 2^-9, which is what 2^14 leaves of an f32 sum.
  const uint32_t small = bits_of(magnitude + 16384.0f) & 15u;
  const uint32_t normal = ((bits + 0x7ffffu + (bits >> 20 & 1u)) >> 20) - (120u << 3);
  return static_cast<uint8_t>(sign | (magnitude < 0.015625f ? small : normal));
}

// Exact. The bits of the code, moved into place, are those of an f32 whose exponent is 120 too small, subnormals too.
float fp8_value(uint8_t code) {
  const float value = f32_from_bits(static_cast<uint32_t>(code & 0x7fu) << 20) * 0x1p120f;
  return code & 0x80u ? -value : value;
}

// Between -127 and 127. In double, and divided: half-precision values often lie exactly between two codes.
int8_t int8_code(float x, double largest) {
  constexpr double kRounding = 6755399441055744.0;  // 1.5 * 2^52: a sum with it has no fraction
  return static_cast<int8_t>(x * 127.0 / largest + kRounding - kRounding);
}

// Fills `codes` and returns the scale. The values are finite, their largest magnitude is given.
float encode(Storage storage, const float* values, int64_t n, float largest, uint8_t* codes) {
  if (storage == Storage::nf4) {
    uint8_t each[kNf4Block];
    const float divisor = largest > 0.0f ? largest : 1.0f;
    each[n - 1 + n % 2] = nf4_code(0);  // behind an odd number of values
    for (int64_t i = 0; i < n; i++) each[i] = nf4_code(values[i] / divisor);
    for (int64_t i = 0; i < n; i += 2) codes[i / 2] = static_cast<uint8_t>(each[i] << 4 | each[i + 1]);
    return largest;
  }
  if (storage == Storage::int8) {
    const double divisor = largest > 0.0f ? largest : 1.0f;
    for (int64_t i = 0; i < n; i++) codes[i] = static_cast<uint8_t>(int8_code(values[i], divisor));
    return largest / 127.0f;
  }
  const float scale = largest / kLargestFp8;
  if (scale == 0.0f) {
    std::fill(codes, codes + n, uint8_t{0});
  } else {
    for (int64_t i = 0; i < n; i++) codes[i] = fp8_code(values[i] / scale);
  }
  return scale;
}

template <typename Store>
void decode(Storage storage, const uint8_t* codes, int64_t n, float scale, const Store& store) {
  if (storage == Storage::nf4) {
    for (int64_t i = 0; i < n; i++) store(i, kNf4Levels[i % 2 == 0 ? codes[i / 2] >> 4 : codes[i / 2] & 15] * scale);
  } else if (storage == Storage::int8) {
    for (int64_t i = 0; i < n; i++) store(i, static_cast<float>(static_cast<int8_t>(codes[i])) * scale);
  } else {
    for (int64_t i = 0; i < n; i++) store(i, fp8_value(codes[i]) * scale);
  }
}

}  // namespace

StoredLayout stored_layout(Storage storage, const Shape& shape) {
  const Groups groups = groups_of(storage, shape);
  const int64_t scales_offset = (groups.code_bytes() + 255) / 256 * 256;
  return {scales_offset, scales_offset + groups.count * 4};
}

double quantise(const float* values, Storage storage, const Shape& shape, void* stored) {
  const Groups groups = groups_of(storage, shape);
  const int64_t scales_offset = stored_layout(storage, shape).scales_offset;
  uint8_t* codes = static_cast<uint8_t*>(stored);
  float* scales = reinterpret_cast<float*>(codes + scales_offset);
  std::fill(codes + groups.code_bytes(), codes + scales_offset, uint8_t{0});

  int64_t first_odd = groups.count;
  std::vector<double> differences(static_cast<size_t>(groups.count)), squares(differences.size());
#pragma omp parallel for schedule(static) reduction(min : first_odd)
  for (int64_t group = 0; group < groups.count; group++) {
    const float* given = values + groups.begin(group);
    const int64_t n = groups.size(group);
    const float largest = largest_magnitude(given, n);
    if (!std::isfinite(largest)) {
      first_odd = std::min(first_odd, group);
      continue;
    }
    uint8_t* group_codes = codes + groups.code_offset(group);
    scales[group] = encode(storage, given, n, largest, group_codes);
    double difference = 0, square = 0;
    decode(storage, group_codes, n, scales[group], [&](int64_t i, float value) {
      const double off = static_cast<double>(value) - given[i];
      difference += off * off;
      square += static_cast<double>(given[i]) * given[i];
    });
    differences[group] = difference;
    squares[group] = square;
  }
  for (int64_t i = groups.begin(first_odd); i < groups.elements; i++) {
    require(std::isfinite(values[i]), "value ", i, " is ", values[i], ", which cannot be stored as ", name_of(storage));
  }
  double difference = 0, square = 0;
  for (int64_t group = 0; group < groups.count; group++) {  // in order: the same sum with any number of threads
    difference += differences[group];
    square += squares[group];
  }
  return square > 0 ? std::sqrt(difference / square) : 0;
}

void dequantise(const void* stored, Storage storage, const Shape& shape, DType dtype, void* to) {
  require(dtype == DType::f32 || dtype == DType::bf16, "weights are held as f32 or bf16, not ", name_of(dtype));
  const Groups groups = groups_of(storage, shape);
  const uint8_t* codes = static_cast<const uint8_t*>(stored);
  const float* scales = reinterpret_cast<const float*>(codes + stored_layout(storage, shape).scales_offset);
#pragma omp parallel for schedule(static)
  for (int64_t group = 0; group < groups.count; group++) {
    const uint8_t* group_codes = codes + groups.code_offset(group);
    const int64_t n = groups.size(group);
    if (dtype == DType::f32) {
      float* values = static_cast<float*>(to) + groups.begin(group);
      decode(storage, group_codes, n, scales[group], [&](int64_t i, float value) { values[i] = value; });
    } else {
      uint16_t* values = static_cast<uint16_t*>(to) + groups.begin(group);
      decode(storage, group_codes, n, scales[group], [&](int64_t i, float value) { values[i] = bf16_from_f32(value); });
    }
  }
}

}  // namespace lorikeet
