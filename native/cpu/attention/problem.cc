#include "problem.h"

namespace lorikeet::cpu::attention {

Matrix Problem::head(const Tensor& tensor, const AttentionSource& source, int64_t rows, int64_t head,
                     int64_t row) const {
  const int64_t first = (head / heads * rows + row) * source.stride + source.column + head % heads * head_size;
  return {static_cast<char*>(tensor.data) + first * bytes_of(dtype), source.stride};
}

Tiling tiling(int64_t n, int64_t lanes) {
  const int64_t least = std::max<int64_t>(1, (n + kTile - 1) / kTile);
  const int64_t size = (std::max<int64_t>(1, (n + least - 1) / least) + lanes - 1) / lanes * lanes;
  return {size, (n + size - 1) / size};
}

int64_t heads_at_once(int64_t total, int64_t bytes_per_head, int64_t threads) {
  constexpr int64_t kBytes = 2 << 20;
  const int64_t most = std::clamp(std::max(kBytes / std::max<int64_t>(1, bytes_per_head), threads), int64_t{1},
                                  std::max<int64_t>(1, total));
  const int64_t groups = (total + most - 1) / most;
  return groups == 0 ? 1 : (total + groups - 1) / groups;  // groups of equal size
}

}  // namespace lorikeet::cpu::attention
