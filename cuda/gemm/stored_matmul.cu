#include "stored_matmul.h"

#include "kernel.cuh"
#include "low_rank.cuh"
#include "stored.cuh"

namespace LORIKEET_CUDA {
namespace {

// Most products with few rows are those of CLIP's 77 tokens, and of 64 pixels. Tiles take all of their rows, so that a
// value is opened once, and few columns, so that there are blocks for every multiprocessor: 1280 columns make 40. Along
// k it is 64, so that codes of nf4 come in whole sectors. Three stages of 16 KiB let two blocks share 100 KiB.
using Tile = TileShape<bf16, 96, 32, 64, 48, 16, 3>;
// One row, or a few: modulation by timesteps, one for each picture. Time is that of reading the codes.
constexpr int kFewRows = 16;
using FlatTile = TileShape<bf16, kFewRows, 64, 64, 16, 16, 4>;

constexpr int64_t kMostElements = int64_t{1} << 30;

template <class Tile, BLayout kLayout, Storage kStorage>
void start(const Segments<bf16>& segments, const Output<bf16>& y, const StoredMatrix& w, Stream stream) {
  using Operands = StoredOperands<Tile, kLayout, kStorage>;
  LaunchShape shape = shape_for<Tile>(y.rows, y.columns);
  shape.shared_bytes += Operands::kLevelBytes;
  launch("stored_matmul", &matmul_kernel<Operands>, shape, stream, segments, y, w);
}

template <Storage kStorage>
void start(const Matmul<bf16>& p, const Segments<bf16>& segments, const StoredWeight& weight, Stream stream) {
  const Output<bf16> y = output_of(p.y, p.y_stride, p.m, p.n, p.bias);
  const char* bytes = static_cast<const char*>(weight.data);
  const char* scales = bytes + stored_layout(kStorage, weight.shape).scales_offset;
  const int rows = static_cast<int>(weight.shape[0]), columns = static_cast<int>(elements_of(weight.shape) / rows);
  const StoredMatrix w{reinterpret_cast<const uint32_t*>(bytes), reinterpret_cast<const float*>(scales), rows, columns};
  if (p.layout == BLayout::n_contiguous) {
    start<Tile, BLayout::n_contiguous, kStorage>(segments, y, w, stream);
  } else if (p.m <= kFewRows) {
    start<FlatTile, BLayout::k_contiguous, kStorage>(segments, y, w, stream);
  } else {
    start<Tile, BLayout::k_contiguous, kStorage>(segments, y, w, stream);
  }
}

}  // namespace

bool opens_on_the_way(Storage storage, const Shape& shape, DType dtype, int64_t rows) {
  if (storage == Storage::plain || dtype != DType::bf16 || rows > kMostRows || shape.empty()) return false;
  const int64_t elements = elements_of(shape);
  return elements > 0 && elements <= kMostElements && elements / shape[0] % kNf4Block == 0;
}

void launch_stored_matmul(const Matmul<bf16>& p, const StoredWeight& w, Stream stream) {
  if (p.m == 0 || p.n == 0) return;
  require(opens_on_the_way(w.storage, w.shape, DType::bf16, 0), "a weight of shape ", to_string(w.shape), " stored as ",
          name_of(w.storage), " cannot be opened on its way into a product");
  require(reinterpret_cast<uintptr_t>(w.data) % 16 == 0, "a quantised weight must lie at a multiple of 16 bytes");
  Segments<bf16> segments{};
  add_ups(p.ups, p.layout, segments);
  const bool in_chunks = aligned(p.x, p.x_stride);
  segments.at[segments.count++] = {p.x, nullptr, p.x_stride, 0, p.k, 0, p.n, 1.0f, Divider{}, in_chunks};
  switch (w.storage) {
    case Storage::nf4: return start<Storage::nf4>(p, segments, w, stream);
    case Storage::int8: return start<Storage::int8>(p, segments, w, stream);
    case Storage::fp8: return start<Storage::fp8>(p, segments, w, stream);
    case Storage::plain: break;
  }
}

}  // namespace LORIKEET_CUDA
