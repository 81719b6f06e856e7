// The ops linear, linear_input_grad, linear_weight_grad and low_rank_dh.
#include "linear_op.h"

#include <optional>

#include "stored_matmul.h"
#include "weight_grad.h"

namespace LORIKEET_CUDA {
namespace {

// The product with the layer's own weight, which is input 1: in a tile of choice, or opening the weight on the way.
class WeightProduct {
 public:
  // `words`, and m and n as for TunedTile.
  WeightProduct(const CudaRequest& request, const std::string& words, DType dtype, int m, int n) {
    const Shape& shape = request.inputs[1].shape;
    const Storage storage = request.storage(1);
    if (opens_on_the_way(storage, shape, dtype, m)) {
      request.take_stored(1);
      stored_ = {nullptr, storage, shape};
    } else {
      tile_.emplace(request, words, dtype, m, n);
    }
  }

  // `product` as it is but for w.
  template <typename T>
  void launch(Matmul<T> product, const Operands& operands, const LaunchContext& context) const {
    const void* w = operands.inputs[1].data;
    if (tile_) {
      product.w = static_cast<const T*>(w);
      tile_->launch(context, [&](TileChoice chosen) { launch_matmul(product, chosen, context.stream); });
    } else if constexpr (std::is_same_v<T, bf16>) {
      launch_stored_matmul(product, {w, stored_.storage, stored_.shape}, context.stream);
    }
  }

 private:
  std::optional<TunedTile> tile_;
  StoredWeight stored_;  // when there is no tile; its address comes with the operands
};

}  // namespace

void expect_room_for_adapters(const CudaRequest& request, size_t count) {
  require(count < kMaxSegments, request.instruction.op, ": ", count, " adapters on one layer; the CUDA devices add ",
          kMaxSegments - 1, " at most");
}

std::string words_of_ups(const LowRank& low_rank, int64_t n) {
  std::string words;
  for (const auto& up : low_rank.ups) words += segment_words(up.r, up.n, n);
  return words;
}

// Each h = x downᵀ is a product of its own, since it is kept; then y is one, the ups included.
Launch linear(const CudaRequest& request, const LinearOp& op) {
  expect_room_for_adapters(request, op.low_rank.ups.size());
  const int m = extent(request, op.rows), n = extent(request, op.n), k = extent(request, op.k);
  const std::string words = product_words("matmul", op.dtype, m, n, k) + words_of_ups(op.low_rank, n);
  const WeightProduct weight_product(request, words, op.dtype, m, n);
  std::vector<TunedTile> rank_tiles;
  for (const int64_t rank : op.low_rank.ranks) {
    rank_tiles.emplace_back(request, product_words("matmul", op.dtype, m, rank, k), op.dtype, m, rank);
  }
  return by_dtype(op.dtype, [&](auto zero) -> Launch {
    using T = decltype(zero);
    return [=, low_rank = op.low_rank](const Operands& operands, const LaunchContext& context) {
      const auto input = [&](size_t i) { return data<const T>(operands.inputs[i]); };
      const auto h = [&](size_t adapter) { return data<T>(operands.outputs[1 + adapter]); };
      const T* x = input(0);
      for (size_t a = 0; a < low_rank.adapters(); a++) {
        const int rank = static_cast<int>(low_rank.ranks[a]);
        const T* down = input(low_rank.downs[a]);
        const Matmul<T> to_h{m, rank, k, x, k, down, k, BLayout::k_contiguous, nullptr, h(a), rank, {}};
        rank_tiles[a].launch(context, [&](TileChoice chosen) { launch_matmul(to_h, chosen, context.stream); });
      }
      const float* bias = operands.inputs.size() > 2 ? data<const float>(operands.inputs[2]) : nullptr;
      Matmul<T> product{m, n, k, x, k, nullptr, k, BLayout::k_contiguous, bias, data<T>(operands.outputs[0]), n, {}};
      product.ups = ups_of<T>(low_rank, operands);
      weight_product.launch(product, operands, context);
    };
  });
}

Launch linear_input_grad(const CudaRequest& request, const LinearInputGradOp& op) {
  expect_room_for_adapters(request, op.ranks.size());
  const int m = extent(request, op.rows), n = extent(request, op.n), k = extent(request, op.k);
  std::string words = product_words("matmul_kn", op.dtype, m, k, n);
  for (const int64_t rank : op.ranks) words += segment_words(rank, k, k);
  const WeightProduct weight_product(request, words, op.dtype, m, k);
  return by_dtype(op.dtype, [&](auto zero) -> Launch {
    using T = decltype(zero);
    return [=](const Operands& operands, const LaunchContext& context) {
      const auto input = [&](size_t i) { return data<const T>(operands.inputs[i]); };
      T* dx = data<T>(operands.outputs[0]);
      Matmul<T> product{m, k, n, input(0), n, nullptr, k, BLayout::n_contiguous, nullptr, dx, k, {}};
      for (size_t a = 0; a < op.ranks.size(); a++) {
        const int rank = static_cast<int>(op.ranks[a]);
        product.ups.push_back({input(op.dh(a)), rank, input(op.down(a)), k, rank, 0, k, 1.0f});
      }
      weight_product.launch(product, operands, context);
    };
  });
}

Launch linear_weight_grad(const CudaRequest& request, const LinearWeightGradOp& op) {
  const int rows = extent(request, op.rows), n = extent(request, op.n), k = extent(request, op.k);
  return by_dtype(op.dtype, [&](auto zero) -> Launch {
    using T = decltype(zero);
    const TileChoice tile = choose_weight_grad_tile(n, k);
    const int parts = choose_parts<T>(rows, n, k, tile);
    if (parts > 1) request.reserve_scratch(static_cast<int64_t>(parts) * n * k * 4);
    return [=](const Operands& operands, const LaunchContext& context) {
      if (n == 0 || k == 0) return;
      const T* dy = data<const T>(operands.inputs[0]) + op.y_column;
      const T* x = data<const T>(operands.inputs[1]) + op.x_column;
      float* dw = data<float>(operands.outputs[0]);
      float* sums = static_cast<float*>(context.scratch);
      launch_weight_grad(WeightGrad<T>{rows, n, k, dy, op.y_row, x, op.x_row, op.scale, dw, k, parts, sums}, tile,
                         context.stream);
    };
  });
}

namespace {

// dh = scale * dy up, with each up a segment of the columns of dh that it covers. Columns that none covers are zero.
Launch low_rank_dh(const CudaRequest& request, const LowRankDhOp& op) {
  expect_room_for_adapters(request, op.ups.size());
  const int m = extent(request, op.rows), rank = extent(request, op.rank);
  std::string words = product_words("matmul_kn", op.dtype, m, rank, 0);
  for (const auto& up : op.ups) words += segment_words(up.n, up.r, rank);
  // Of a wide tile only an up's own columns are of use.
  const int narrowest = static_cast<int>(tiles_of(op.dtype).size()) - 1;
  const int fallback = op.ups.size() > 1 ? narrowest : choose_tile(op.dtype, m, rank, request.multiprocessors);
  const TunedTile tile(request, words, op.dtype, fallback);
  return by_dtype(op.dtype, [&](auto zero) -> Launch {
    using T = decltype(zero);
    return [=](const Operands& operands, const LaunchContext& context) {
      const T* dy = data<const T>(operands.inputs[0]);
      Matmul<T> product{m, rank, 0, nullptr, 0, nullptr, 0, BLayout::n_contiguous, nullptr,
                        data<T>(operands.outputs[0]), rank, {}};
      for (const auto& up : op.ups) {
        product.ups.push_back({dy + up.column, op.columns, data<const T>(operands.inputs[up.input]), up.r,
                               static_cast<int>(up.n), static_cast<int>(up.rank), static_cast<int>(up.r), op.scale});
      }
      tile.launch(context, [&](TileChoice chosen) { launch_matmul(product, chosen, context.stream); });
    };
  });
}

Launch make_linear(const CudaRequest& request) { return linear(request, read_linear(request)); }
Launch make_linear_input_grad(const CudaRequest& request) {
  return linear_input_grad(request, read_linear_input_grad(request));
}
Launch make_linear_weight_grad(const CudaRequest& request) {
  return linear_weight_grad(request, read_linear_weight_grad(request));
}
Launch make_low_rank_dh(const CudaRequest& request) { return low_rank_dh(request, read_low_rank_dh(request)); }

LORIKEET_REGISTER_CUDA_KERNEL("linear", make_linear);
LORIKEET_REGISTER_CUDA_KERNEL("linear_input_grad", make_linear_input_grad);
LORIKEET_REGISTER_CUDA_KERNEL("linear_weight_grad", make_linear_weight_grad);
LORIKEET_REGISTER_CUDA_KERNEL("low_rank_dh", make_low_rank_dh);

}  // namespace
}  // namespace LORIKEET_CUDA
