// What the processor can do, asked once from the processor itself.
#pragma once

namespace lorikeet::cpu {

struct Isa {
  bool avx2 = false;
  bool avx512 = false;       // F, BW, VL, DQ
  bool avx512_bf16 = false;  // with avx512
  bool amx_bf16 = false;     // tiles usable by this process, with avx512_bf16
};

const Isa& isa();
const char* isa_name();  // the best of 'amx_bf16', 'avx512_bf16', 'avx512', 'avx2', 'none'
inline bool has_bf16() { return isa().avx512_bf16 || isa().amx_bf16; }

}  // namespace lorikeet::cpu
