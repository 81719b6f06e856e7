// linear_weight_grad: dw[n, k] += scale dy[:, yc:yc+n]ᵀ x[:, xc:xc+k], summed over the rows in f32.
#include "../../core/ops/linear.h"
#include "../elementwise.h"
#include "../matmul.h"
#include "../thin.h"

namespace lorikeet::cpu {
namespace {

class WeightGrad : public Kernel {
 public:
  WeightGrad(const KernelRequest& request, const LinearWeightGradOp& op)
      : matmul_(shape_of(op), 1),
        y_offset_(op.y_column * bytes_of(op.dtype)),
        x_offset_(op.x_column * bytes_of(op.dtype)),
        scratch_(request.scratch) {
    scratch_.reserve(matmul_.scratch_bytes());
  }

  void run(const Operands& operands) override {
    matmul_.run(0, static_cast<const char*>(operands.inputs[0].data) + y_offset_,
                static_cast<const char*>(operands.inputs[1].data) + x_offset_, nullptr, operands.outputs[0].data,
                scratch_.data());
  }

 private:
  static MatmulShape shape_of(const LinearWeightGradOp& op) {
    MatmulShape shape;
    shape.m = op.n;
    shape.n = op.k;
    shape.k = op.rows;
    shape.dtype = op.dtype;
    shape.dst_dtype = DType::f32;
    shape.src_row = 1;
    shape.src_column = op.y_row;
    shape.dst_row = op.k;
    shape.weights = strided_desc({op.rows, op.k}, op.dtype, {op.x_row, 1});
    shape.scale = op.scale;
    shape.accumulate = true;
    return shape;
  }

  Matmul matmul_;
  int64_t y_offset_;
  int64_t x_offset_;
  Scratch& scratch_;
};

// One side of dw is a rank: each thread sums its own columns of the other side over all rows.
class ThinWeightGrad : public Kernel {
 public:
  ThinWeightGrad(const KernelRequest& request, const LinearWeightGradOp& op) : op_(op), scratch_(request.scratch) {
    scratch_.reserve(thin::packed_rows(op.rows, std::min(op.n, op.k)) * 4);
  }

  void run(const Operands& operands) override {
    const bf16* dy = operands.inputs[0].as<const bf16>() + op_.y_column;
    const bf16* x = operands.inputs[1].as<const bf16>() + op_.x_column;
    float* dw = operands.outputs[0].as<float>();
    auto* packed = static_cast<thin::Pair*>(scratch_.data());
    const bool thin_rows = op_.n <= op_.k;  // of dw
    const int64_t thin = std::min(op_.n, op_.k);
    const bf16* narrow = thin_rows ? dy : x;
    const int64_t narrow_row = thin_rows ? op_.y_row : op_.x_row;
    parallel_for(op_.rows, 512, [=](int64_t begin, int64_t end) {
      thin::pack_rows(narrow + begin * narrow_row, narrow_row, end - begin, thin, packed + begin / 2 * thin);
    });
    const bf16* wide = thin_rows ? x : dy;
    const int64_t wide_row = thin_rows ? op_.x_row : op_.y_row;
    parallel_for(std::max(op_.n, op_.k), thin::kPanel, [=](int64_t first, int64_t last) {
      thin::reduce(packed, wide, wide_row, op_.rows, thin, first, last, op_.scale, dw, thin_rows ? op_.k : 1,
                   thin_rows ? 1 : op_.k);
    });
  }

 private:
  LinearWeightGradOp op_;
  Scratch& scratch_;
};

// Up to this rank; beyond it oneDNN's tiles are well filled.
constexpr int64_t kThinRank = 32;

class Nothing : public Kernel {
 public:
  void run(const Operands&) override {}
};

std::unique_ptr<Kernel> make_weight_grad(const KernelRequest& request) {
  const LinearWeightGradOp op = read_linear_weight_grad(request);
  if (op.n == 0 || op.k == 0 || op.rows == 0) return std::make_unique<Nothing>();
  if (thin::available() && op.dtype == DType::bf16 && std::min(op.n, op.k) <= kThinRank) {
    return std::make_unique<ThinWeightGrad>(request, op);
  }
  return std::make_unique<WeightGrad>(request, op);
}

LORIKEET_REGISTER_CPU_KERNEL("linear_weight_grad", make_weight_grad);

}  // namespace
}  // namespace lorikeet::cpu
