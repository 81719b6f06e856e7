// linear_weight_grad: dw[n, k] += scale dy[:, yc:yc+n]ᵀ x[:, xc:xc+k], summed over the rows in f32.
#include "../checks.h"
#include "../matmul.h"

namespace lorikeet::cpu {
namespace {

class LinearWeightGrad : public Kernel {
 public:
  LinearWeightGrad(const KernelRequest& request, const MatmulShape& shape, int64_t y_column, int64_t x_column)
      : matmul_(shape, 1), y_offset_(y_column * bytes_of(shape.dtype)), x_offset_(x_column * bytes_of(shape.dtype)),
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
  return std::make_unique<LinearWeightGrad>(request, shape, y_column, x_column);
}

LORIKEET_REGISTER_CPU_KERNEL("linear_weight_grad", make_weight_grad);

}  // namespace
}  // namespace lorikeet::cpu
