#include "modulate.h"

#include "../numeric.cuh"
#include "modulate.cuh"

namespace LORIKEET_CUDA {
namespace {

constexpr int kPartRows = 32;

// Both kernels read all that a thread has on the way before it writes any of it: y may be x or z. columns is a multiple
// of kWidth.
template <typename T, int kWidth>
__global__ void __launch_bounds__(kPartThreads) modulate_kernel(Extent extent, Global<const T> x, Global<const T> scale,
                                                                Global<const T> shift, Global<T> y) {
  const Part<kWidth, kPartRows> part(extent);
  if (!part.inside) return;
  const Vector<T, kWidth> scales = load_vector<kWidth>(scale, part.vector);
  const Vector<T, kWidth> shifts = load_vector<kWidth>(shift, part.vector);
  for (int row = static_cast<int>(threadIdx.x) / 32; row < part.rows; row += kAhead * kPartWarps) {
    Vector<T, kWidth> own[kAhead] = {};
    LORIKEET_UNROLL for (int r = 0; r < kAhead; r++) {
      if (row + r * kPartWarps < part.rows) own[r] = load_vector<kWidth>(x, part.at(row + r * kPartWarps));
    }
    LORIKEET_UNROLL for (int r = 0; r < kAhead; r++) {
      if (row + r * kPartWarps >= part.rows) continue;
      LORIKEET_UNROLL for (int e = 0; e < kWidth; e++) {
        own[r][e] = from_float<T>(to_float(own[r][e]) * (1.0f + to_float(scales[e])) + to_float(shifts[e]));
      }
      store_vector(y, part.at(row + r * kPartWarps), own[r]);
    }
  }
}

template <typename T, int kWidth>
__global__ void __launch_bounds__(kPartThreads) gate_kernel(Extent extent, Global<const T> x, Global<const T> z,
                                                            Global<const T> gate, Global<T> y) {
  const Part<kWidth, kPartRows> part(extent);
  if (!part.inside) return;
  const Vector<T, kWidth> gates = load_vector<kWidth>(gate, part.vector);
  for (int row = static_cast<int>(threadIdx.x) / 32; row < part.rows; row += kAhead * kPartWarps) {
    Vector<T, kWidth> own[kAhead] = {}, gated[kAhead] = {};
    LORIKEET_UNROLL for (int r = 0; r < kAhead; r++) {
      if (row + r * kPartWarps >= part.rows) continue;
      own[r] = load_vector<kWidth>(x, part.at(row + r * kPartWarps));
      gated[r] = load_vector<kWidth>(z, part.at(row + r * kPartWarps));
    }
    LORIKEET_UNROLL for (int r = 0; r < kAhead; r++) {
      if (row + r * kPartWarps >= part.rows) continue;
      LORIKEET_UNROLL for (int e = 0; e < kWidth; e++) {
        own[r][e] = from_float<T>(to_float(own[r][e]) + to_float(gates[e]) * to_float(gated[r][e]));
      }
      store_vector(y, part.at(row + r * kPartWarps), own[r]);
    }
  }
}

template <int kWidth, typename T>
void start(const Modulate<T>& p, const Extent& extent, Stream stream) {
  launch("modulate", &modulate_kernel<T, kWidth>, part_shape<kWidth, kPartRows>(p.samples, extent), stream, extent, p.x,
         p.scale, p.shift, p.y);
}

template <int kWidth, typename T>
void start(const Gate<T>& p, const Extent& extent, Stream stream) {
  launch("gate", &gate_kernel<T, kWidth>, part_shape<kWidth, kPartRows>(p.samples, extent), stream, extent, p.x, p.z,
         p.gate, p.y);
}

// `wide`: whether all operands start at multiples of 16 bytes.
template <typename T, template <typename> class Problem>
void start_any(const Problem<T>& p, bool wide, Stream stream) {
  if (p.samples == 0 || p.rows == 0 || p.columns == 0) return;
  const Extent extent{p.rows, p.columns, blocks_for(p.rows, kPartRows)};
  if (wide && p.columns % kPerAccess<T> == 0) return start<kPerAccess<T>>(p, extent, stream);
  start<1>(p, extent, stream);
}

}  // namespace

template <typename T>
void launch_modulate(const Modulate<T>& p, Stream stream) {
  start_any(p, aligned(p.x, p.scale, p.shift, p.y), stream);
}

template <typename T>
void launch_gate(const Gate<T>& p, Stream stream) {
  start_any(p, aligned(p.x, p.z, p.gate, p.y), stream);
}

template void launch_modulate(const Modulate<float>&, Stream);
template void launch_modulate(const Modulate<bf16>&, Stream);
template void launch_gate(const Gate<float>&, Stream);
template void launch_gate(const Gate<bf16>&, Stream);

}  // namespace LORIKEET_CUDA
