#include "row_products.h"

#include <omp.h>

#include <algorithm>

#include "isa.h"
#include "parallel.h"
#include "thin.h"

namespace lorikeet::cpu {

namespace {

// Below this number of rows there are too few blocks to share out, and oneDNN cuts the columns as well.
constexpr int64_t kBlockedRows = 512;

// What a block reads and writes should stay in the second-level cache beside the weights' tiles.
constexpr int64_t kBlockBytes = 512 * 1024;

// Up to these ranks thin.h is faster than oneDNN. Tiles (AMX) multiply 32 deep and 16 wide: only a rank that leaves
// them half empty is better off without.
constexpr int64_t kThinRank = 32;
constexpr int64_t kThinRankWithTiles = 16;

bool is_thin(const RowProduct& product) {
  if (!product.adapter || !thin::available() || product.src.dtype != DType::bf16 || product.bias >= 0) return false;
  if (isa().amx_bf16) return product.k <= kThinRankWithTiles;
  return std::min(product.n, product.k) <= kThinRank;
}

int64_t choose_block_rows(int64_t rows, const std::vector<RowProduct>& products) {
  const bool only_base = products.size() == 1 && !is_thin(products[0]);
  if (only_base || rows < kBlockedRows) return rows;
  int64_t row_bytes = 0;
  for (const RowProduct& product : products) {
    row_bytes = std::max(row_bytes, product.k * bytes_of(product.src.dtype) + product.n * bytes_of(product.dst.dtype));
  }
  const int64_t fitting = std::clamp<int64_t>(kBlockBytes / row_bytes, 128, 512);
  // A multiple of four blocks shares out evenly over the usual numbers of cores; it depends on nothing else.
  const int64_t blocks = ((rows + fitting - 1) / fitting + 3) / 4 * 4;
  return ((rows + blocks - 1) / blocks + 15) / 16 * 16;
}

MatmulShape shape_of(const RowProduct& product, int64_t rows) {
  MatmulShape shape;
  shape.m = rows;
  shape.n = product.n;
  shape.k = product.k;
  shape.dtype = product.src.dtype;
  shape.dst_dtype = product.dst.dtype;
  shape.src_row = product.src.stride;
  shape.dst_row = product.dst.stride;
  shape.weights = product.weights.desc();
  shape.bias = product.bias >= 0;
  shape.scale = product.scale;
  shape.accumulate = product.accumulate;
  return shape;
}

char* address(const Operands& operands, const Columns& columns, int64_t row) {
  const Tensor& tensor = columns.output ? operands.outputs[columns.operand] : operands.inputs[columns.operand];
  return static_cast<char*>(tensor.data) + (columns.first + row * columns.stride) * bytes_of(columns.dtype);
}

}  // namespace

RowProducts::RowProducts(const KernelRequest& request, int64_t rows, std::vector<RowProduct> products)
    : rows_(rows), scratch_(request.scratch) {
  products.erase(std::remove_if(products.begin(), products.end(), [](const RowProduct& p) { return p.n == 0; }),
                 products.end());
  if (rows_ == 0 || products.empty()) {
    block_rows_ = 0;
    return;
  }
  block_rows_ = choose_block_rows(rows, products);
  slots_ = block_rows_ < rows_ ? thread_count() : 1;
  for (RowProduct& product : products) {
    Stage stage;
    stage.product = std::move(product);
    stage.weights_at = pads_at_;
    stage.thin = is_thin(stage.product);
    if (stage.thin) {
      pads_at_ += aligned(thin::packed_pairs(stage.product.k, stage.product.n) * 4);
      stages_.push_back(std::move(stage));
      continue;
    }
    stage.block = Matmul(shape_of(stage.product, block_rows_), slots_);
    const int64_t rest = rows_ % block_rows_;
    if (rest > 0) stage.rest = Matmul(shape_of(stage.product, rest), slots_);
    pad_bytes_ = std::max({pad_bytes_, stage.block.scratch_bytes(), stage.rest.scratch_bytes()});
    pads_at_ += stage.product.weights.scratch_bytes();
    stages_.push_back(std::move(stage));
  }
  scratch_.reserve(pads_at_ + slots_ * pad_bytes_);
}

void RowProducts::run_block(const Operands& operands, int slot, int64_t first, int64_t rows) {
  char* scratch = static_cast<char*>(scratch_.data());
  for (Stage& stage : stages_) {
    const RowProduct& product = stage.product;
    if (stage.thin) {
      thin::multiply(reinterpret_cast<const bf16*>(address(operands, product.src, first)), product.src.stride,
                     static_cast<const thin::Pair*>(stage.weights),
                     reinterpret_cast<bf16*>(address(operands, product.dst, first)), product.dst.stride, rows,
                     product.n, product.k, product.scale, product.accumulate);
      continue;
    }
    const float* bias = product.bias >= 0 ? operands.inputs[product.bias].as<const float>() : nullptr;
    Matmul& matmul = rows == block_rows_ ? stage.block : stage.rest;
    matmul.run(slot, address(operands, product.src, first), stage.weights, bias, address(operands, product.dst, first),
               scratch + pads_at_ + slot * pad_bytes_);
  }
}

void RowProducts::run(const Operands& operands) {
  if (block_rows_ == 0) return;
  for (Stage& stage : stages_) {
    const RowProduct& product = stage.product;
    char* place = static_cast<char*>(scratch_.data()) + stage.weights_at;
    if (stage.thin) {
      thin::pack_pairs(operands.inputs[product.adapter_input].as<const bf16>(), product.adapter_row,
                       product.adapter_column, product.k, product.n, reinterpret_cast<thin::Pair*>(place));
      stage.weights = place;
    } else {
      stage.weights = stage.product.weights.prepare(operands, place);
    }
  }
  if (block_rows_ == rows_) {
    run_block(operands, 0, 0, rows_);
    return;
  }
  if (slots_ == 1) {
    for (int64_t first = 0; first < rows_; first += block_rows_) {
      run_block(operands, 0, first, std::min(block_rows_, rows_ - first));
    }
    return;
  }
  parallel_for(rows_, block_rows_,
               [&](int64_t begin, int64_t end) { run_block(operands, omp_get_thread_num(), begin, end - begin); });
}

}  // namespace lorikeet::cpu
