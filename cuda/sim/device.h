// What a .cu file finds when the host compiler reads it: CUDA's own words, and the emulator behind them.
#pragma once

#include "machine.h"

#define __global__
#define __device__
#define __host__
#define __forceinline__ inline
#define __launch_bounds__(...)

#define threadIdx (::lorikeet::sim::current_block->current().index)
#define blockIdx (::lorikeet::sim::current_block->index())
#define blockDim (::lorikeet::sim::current_block->shape().block)
#define gridDim (::lorikeet::sim::current_block->shape().grid)
