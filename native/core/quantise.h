// Frozen weights in 4 or 8 bits. A matrix is stored as codes, from byte 0 on, and the f32 scales of its blocks or rows
// behind them; each value is a code's number times its scale. Rows are those of the first extent.
//
//   nf4   two codes a byte, the first in the high half; 16 levels, a scale for each 64 elements of the whole matrix:
//         their largest magnitude (Dettmers et al., arXiv 2305.14314; the bytes are those of bitsandbytes)
//   int8  a row's values in steps of its largest magnitude / 127
//   fp8   e4m3fn, a scale for each row: its largest magnitude / 448, the largest number of the format
#pragma once

#include "tensor.h"

namespace lorikeet {

enum class Storage : uint8_t { plain, nf4, int8, fp8 };

Storage storage_from_name(const std::string& name);  // throws Error on an unknown name
const char* name_of(Storage storage);

// Elements that share a scale of nf4.
constexpr int64_t kNf4Block = 64;

constexpr float kNf4Levels[16] = {-1.0f,
                                  -0.6961928009986877f,
                                  -0.5250730514526367f,
                                  -0.39491748809814453f,
                                  -0.28444138169288635f,
                                  -0.18477343022823334f,
                                  -0.09105003625154495f,
                                  0.0f,
                                  0.07958029955625534f,
                                  0.16093020141124725f,
                                  0.24611230194568634f,
                                  0.33791524171829224f,
                                  0.44070982933044434f,
                                  0.5626170039176941f,
                                  0.7229568362236023f,
                                  1.0f};

// Where the scales begin, a multiple of 256, and the size of it all. What lies between codes and scales is zero.
struct StoredLayout {
  int64_t scales_offset;
  int64_t bytes;
};

// Of anything but `plain`, whose size follows from its dtype.
StoredLayout stored_layout(Storage storage, const Shape& shape);

// To the nearest codes. Throws Error when a value is not finite: one would spoil its whole row or block. Returns how far
// the stored values are from the given ones, as |stored - given| / |given| over all of them; 0 where all are zero.
double quantise(const float* values, Storage storage, const Shape& shape, void* stored);

// One f32 product a value, rounded once to `dtype` (f32, bf16).
void dequantise(const void* stored, Storage storage, const Shape& shape, DType dtype, void* to);

}  // namespace lorikeet
