// Every source is compiled twice and both may be linked into one addon, so each has a namespace of its own: for cards
// (scripts/cuda/nvcc.js defines LORIKEET_CARD), and for the emulator.
#pragma once

#if defined(LORIKEET_CARD)
#define LORIKEET_CUDA lorikeet::cuda
#else
#define LORIKEET_CUDA lorikeet::cuda_sim
#endif
