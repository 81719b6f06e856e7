// global_norm: norm = sqrt(sum of g^2) of a whole f32 buffer.
#include "../op.h"
#include "sums.cuh"

namespace LORIKEET_CUDA {
namespace {

constexpr int kPart = 16384;  // elements that a block sums

// A sum of squares with nearly twice the digits of f32, which keeps f64 out of the loop: the square as two floats (what
// fma leaves of it), added with its rounding error (Knuth's TwoSum). Squares that f32 cannot hold so, and NaN, go to a
// sum in f64; zero to neither.
struct Squares {
  float sum = 0.0f, rest = 0.0f;
  double extreme = 0.0;

  __device__ __forceinline__ void add(float x) {
    const float size = fabsf(x);
    if (size > 1e-16f && size < 1e16f) {
      const float square = x * x, next = sum + square, back = next - sum;
      rest += ((sum - (next - back)) + (square - back)) + fmaf(x, x, -square);
      sum = next;
    } else if (size != 0.0f) {
      extreme += static_cast<double>(x) * x;
    }
  }
  __device__ __forceinline__ double total() const { return extreme + (static_cast<double>(sum) + rest); }
};

template <int kWidth>
__global__ void __launch_bounds__(kSumThreads)
    squares_kernel(Global<const float> g, Global<double> sums, int64_t count) {
  const int64_t first = static_cast<int64_t>(blockIdx.x) * kPart, left = count - first;
  const int own = static_cast<int>(left < kPart ? left : kPart);
  Squares squares;
  for (int i = static_cast<int>(threadIdx.x) * kWidth; i < own; i += kSumThreads * kWidth) {
    if (i + kWidth <= own) {
      const Vector<float, kWidth> values = load_vector<kWidth>(g, first + i);
      LORIKEET_UNROLL for (int e = 0; e < kWidth; e++) squares.add(values[e]);
    } else {
      for (int rest = i; rest < own; rest++) squares.add(load(g, first + rest));
    }
  }
  const double all = block_sum(squares.total());
  if (threadIdx.x == 0) store(sums, static_cast<int64_t>(blockIdx.x), all);
}

__global__ void __launch_bounds__(kSumThreads)
    norm_kernel(Global<const double> sums, Global<float> norm, int64_t parts) {
  const double all = sum_of_parts(sums, 0, parts);
  if (threadIdx.x == 0) store(norm, 0, static_cast<float>(sqrt(all)));
}

Launch make_global_norm(const CudaRequest& request) {
  expect_operands(request, {"g"}, {"norm"});
  const TensorSpec& g = request.inputs[0];
  expect_dtype(request, "g", g, {DType::f32});
  expect_dtype(request, "norm", request.outputs[0], {DType::f32});
  expect_shape(request, "norm", request.outputs[0], {1}, "g", g);

  const int64_t count = elements_of(g.shape), parts = blocks_for(count, kPart);
  request.reserve_scratch(parts * static_cast<int64_t>(sizeof(double)));
  return [=](const Operands& operands, const LaunchContext& context) {
    const float* g = data<const float>(operands.inputs[0]);
    double* sums = static_cast<double*>(context.scratch);
    LaunchShape shape;
    shape.block = dim3(kSumThreads);
    if (parts > 0) {
      shape.grid = dim3(static_cast<unsigned>(parts));
      launch("global_norm", aligned(g) ? &squares_kernel<4> : &squares_kernel<1>, shape, context.stream, g, sums,
             count);
    }
    shape.grid = dim3(1);
    launch("global_norm_total", &norm_kernel, shape, context.stream, sums, data<float>(operands.outputs[0]), parts);
  };
}

LORIKEET_REGISTER_CUDA_KERNEL("global_norm", make_global_norm);

}  // namespace
}  // namespace LORIKEET_CUDA
