// embedding_backward: dtoken[ids[n, l]] += dy[n, l] and dposition[l] += dy[n, l], in the order of the rows.
#include "../../native/core/ops/embedding.h"

#include "../op.h"
#include "elementwise.cuh"

namespace LORIKEET_CUDA {
namespace {

constexpr int kWarps = 4;

// A warp for each row of dy and 32 columns. The one whose row is the first with its id adds up all rows with that id;
// the others have nothing to do.
template <typename T>
__global__ void __launch_bounds__(32 * kWarps)
    token_gradients_kernel(Global<const T> dy, Global<const int32_t> ids, Global<float> dtoken, int rows, int columns) {
  const int lane = static_cast<int>(threadIdx.x) % 32, warp = static_cast<int>(threadIdx.x) / 32;
  const int own = static_cast<int>(blockIdx.x), column = (static_cast<int>(blockIdx.y) * kWarps + warp) * 32 + lane;
  const int32_t id = load(ids, own);
  const bool inside = column < columns;
  const int64_t target = static_cast<int64_t>(id) * columns + column;
  float sum = 0.0f;
  for (int start = 0; start < rows; start += 32) {
    const int row = start + lane;
    const uint32_t same = ballot(row < rows && load(ids, row) == id);
    if (same == 0) continue;
    for (int bit = 0; bit < 32; bit++) {
      if (!(same >> bit & 1)) continue;
      const int next = start + bit;
      if (next < own) return;
      if (!inside) continue;
      if (next == own) sum = load(dtoken, target);
      sum += to_float(load(dy, static_cast<int64_t>(next) * columns + column));
    }
  }
  if (inside) store(dtoken, target, sum);
}

template <typename T>
struct PositionGradients {
  int64_t batch, count;  // samples, and elements of each
  Global<const T> dy;
  Global<float> dposition;

  template <int kWidth>
  __device__ __forceinline__ void run(int64_t i) const {
    Vector<float, kWidth> sum = load_vector<kWidth>(dposition, i);
    for (int64_t n = 0; n < batch; n++) {
      const Vector<T, kWidth> slope = load_vector<kWidth>(dy, n * count + i);
      LORIKEET_UNROLL for (int e = 0; e < kWidth; e++) sum[e] += to_float(slope[e]);
    }
    store_vector(dposition, i, sum);
  }
};

template <typename T>
void launch_embedding_backward(const Embedding& e, const T* dy, const int32_t* ids, float* dtoken, float* dposition,
                               Stream stream) {
  const int64_t rows = e.batch * e.length, count = e.length * e.columns;
  if (rows == 0 || e.columns == 0) return;
  if (dtoken) {
    LaunchShape shape;
    shape.grid = dim3(static_cast<unsigned>(rows), blocks_for(e.columns, 32 * kWarps));
    shape.block = dim3(32 * kWarps);
    launch("embedding_backward_token", &token_gradients_kernel<T>, shape, stream, dy, ids, dtoken,
           static_cast<int>(rows), static_cast<int>(e.columns));
  }
  if (dposition) {
    launch_elementwise<kPerFloats>("embedding_backward_position", PositionGradients<T>{e.batch, count, dy, dposition},
                                   count, count % kPerFloats == 0 && aligned(dy, dposition), stream);
  }
}

Launch make_embedding_backward(const CudaRequest& request) {
  const Embedding e = read_embedding_backward(request);
  if (request.has_output(0)) {
    request.check_input(
        1, [e](const void* ids) { expect_ids("embedding_backward", e, static_cast<const int32_t*>(ids)); });
  }
  return by_dtype(e.dtype, [e](auto zero) -> Launch {
    using T = decltype(zero);
    return [e](const Operands& operands, const LaunchContext& context) {
      const auto gradient = [&](size_t i) {
        return i < operands.outputs.size() ? data<float>(operands.outputs[i]) : nullptr;
      };
      launch_embedding_backward(e, data<const T>(operands.inputs[0]), data<const int32_t>(operands.inputs[1]),
                                gradient(0), gradient(1), context.stream);
    };
  });
}

LORIKEET_REGISTER_CUDA_KERNEL("embedding_backward", make_embedding_backward);

}  // namespace
}  // namespace LORIKEET_CUDA
