// linear_weight_grad: dw[n, k] += scale dy[:, yc:yc+n]ᵀ x[:, xc:xc+k], summed over the rows in f32.
#include "../../core/checks.h"
#include "../elementwise.h"
#include "../matmul.h"
#include "../thin.h"

namespace lorikeet::cpu {
namespace {

class LinearWeightGrad : public Kernel {
 public:
  LinearWeightGrad(const KernelRequest& request, const MatmulShape& shape, int64_t y_column, int64_t x_column)
      : matmul_(shape, 1),
        y_offset_(y_column * bytes_of(shape.dtype)),
        x_offset_(x_column * bytes_of(shape.dtype)),
        scratch_(request.scratch) {
    scratch_.reserve(matmul_.scratch_bytes());
  }

  void run(const Operands& operands) override {
    matmul_.run(0, static_cast<const char*>(operands.inputs[0].data) + y_offset_,
                static_cast<const char*>(operands.inputs[1].data) + x_offset_, nullptr, operands.outputs[0].data,
                scratch_.data());
  }

 private:
  Matmul matmul_;
  int64_t y_offset_;
  int64_t x_offset_;
  Scratch& scratch_;
};

// One side of dw is a rank: each thread sums its own columns of the other side over all rows.
class ThinWeightGrad : public Kernel {
 public:
  ThinWeightGrad(const KernelRequest& request, const MatmulShape& shape, int64_t y_column, int64_t x_column)
      : rows_(shape.k),
        y_row_(columns_of(request.inputs[0])),
        x_row_(columns_of(request.inputs[1])),
        y_column_(y_column),
        x_column_(x_column),
        n_(shape.m),
        k_(shape.n),
        scale_(shape.scale),
        scratch_(request.scratch) {
    scratch_.reserve(thin::packed_rows(rows_, std::min(n_, k_)) * 4);
  }

  void run(const Operands& operands) override {
    const bf16* dy = operands.inputs[0].as<const bf16>() + y_column_;
    const bf16* x = operands.inputs[1].as<const bf16>() + x_column_;
    float* dw = operands.outputs[0].as<float>();
    auto* packed = static_cast<thin::Pair*>(scratch_.data());
    const bool thin_rows = n_ <= k_;  // of dw
    const int64_t thin = std::min(n_, k_);
    const bf16* narrow = thin_rows ? dy : x;
    const int64_t narrow_row = thin_rows ? y_row_ : x_row_;
    parallel_for(rows_, 512, [=](int64_t begin, int64_t end) {
      thin::pack_rows(narrow + begin * narrow_row, narrow_row, end - begin, thin, packed + begin / 2 * thin);
    });
    const bf16* wide = thin_rows ? x : dy;
    const int64_t wide_row = thin_rows ? x_row_ : y_row_;
    parallel_for(std::max(n_, k_), thin::kPanel, [=](int64_t first, int64_t last) {
      thin::reduce(packed, wide, wide_row, rows_, thin, first, last, scale_, dw, thin_rows ? k_ : 1,
                   thin_rows ? 1 : k_);
    });
  }

 private:
  int64_t rows_, y_row_, x_row_, y_column_, x_column_, n_, k_;
  float scale_;
  Scratch& scratch_;
};

// Up to this rank; beyond it oneDNN's tiles are well filled.
constexpr int64_t kThinRank = 32;

class Nothing : public Kernel {
 public:
  void run(const Operands&) override {}
};

std::unique_ptr<Kernel> make_weight_grad(const KernelRequest& request) {
  expect_operands(request, {"dy", "x"}, {"dw"});
  const Instruction& instruction = request.instruction;
  const TensorSpec& dy = request.inputs[0];
  const TensorSpec& x = request.inputs[1];
  const TensorSpec& dw = request.outputs[0];
  expect_compute_dtype(request, "dy", dy);
  expect_dtype(request, "x", x, {dy.dtype});
  expect_accumulator(request, "dw", dw);
  require(dw.shape.size() == 2, "linear_weight_grad: dw has shape ", to_string(dw.shape), ", expected two extents");
  const int64_t y_column = instruction.has("y_column") ? instruction.integer("y_column") : 0;
  const int64_t x_column = instruction.has("x_column") ? instruction.integer("x_column") : 0;
  require(y_column >= 0 && x_column >= 0 && y_column + dw.shape[0] <= columns_of(dy) &&
              x_column + dw.shape[1] <= columns_of(x),
          "linear_weight_grad: dw ", to_string(dw.shape), " does not fit columns from ", y_column, " of dy ",
          to_string(dy.shape), " and from ", x_column, " of x ", to_string(x.shape));
  require(rows_of(dy) == rows_of(x), "linear_weight_grad: dy ", to_string(dy.shape), " and x ", to_string(x.shape),
          " differ in their number of rows");
  MatmulShape shape;
  shape.m = dw.shape[0];
  shape.n = dw.shape[1];
  shape.k = rows_of(dy);
  if (shape.m == 0 || shape.n == 0 || shape.k == 0) return std::make_unique<Nothing>();
  shape.dtype = dy.dtype;
  shape.dst_dtype = DType::f32;
  shape.src_row = 1;
  shape.src_column = columns_of(dy);
  shape.dst_row = dw.shape[1];
  shape.weights = strided_desc({shape.k, shape.n}, dy.dtype, {columns_of(x), 1});
  shape.scale = instruction.has("scale") ? static_cast<float>(instruction.number("scale")) : 1.0f;
  shape.accumulate = true;
  if (thin::available() && dy.dtype == DType::bf16 && std::min(shape.m, shape.n) <= kThinRank) {
    return std::make_unique<ThinWeightGrad>(request, shape, y_column, x_column);
  }
  return std::make_unique<LinearWeightGrad>(request, shape, y_column, x_column);
}

LORIKEET_REGISTER_CPU_KERNEL("linear_weight_grad", make_weight_grad);

}  // namespace
}  // namespace lorikeet::cpu
