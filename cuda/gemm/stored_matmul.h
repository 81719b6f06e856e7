// launch_matmul where w is a frozen weight in 4 or 8 bits that is opened on its way into the product: nobody writes the
// opened weight to memory, and nobody reads it there. The same bits as those of launch_matmul with the opened weight.
#pragma once

#include "../../native/core/quantise.h"
#include "../bf16.h"
#include "matmul.h"

namespace LORIKEET_CUDA {

struct StoredWeight {
  const void* data = nullptr;  // what quantise wrote, at a multiple of 16 bytes
  Storage storage = Storage::plain;
  Shape shape;
};

// Most rows of a product that opens its weight on the way. Each 96 of them open all values anew, in smaller tiles than
// launch_matmul has, and a weight that is opened into memory costs the same for any number of rows.
constexpr int64_t kMostRows = 192;

// Whether a product of so many rows with such a weight takes it as it is stored. lib/pipeline/opened.ts has the same
// rule for the memory plan.
bool opens_on_the_way(Storage storage, const Shape& shape, DType dtype, int64_t rows);

// `p.w` is not looked at. The weight must be one that opens_on_the_way says yes to, for any number of rows.
void launch_stored_matmul(const Matmul<bf16>& p, const StoredWeight& w, Stream stream);

}  // namespace LORIKEET_CUDA
