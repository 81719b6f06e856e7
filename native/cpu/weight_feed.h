// How the weights of one primitive reach it: as the operand or the stored copy is, or rearranged into the scratch
// before every run. The second is for weights that change (trainable) and for copies that serve several directions or
// sizes.
#pragma once

#include "kernel.h"
#include "dnnl.h"

namespace lorikeet::cpu {

class WeightFeed {
 public:
  WeightFeed() = default;

  // Input operand `input`, in row-major order `plain`; in the layout `wanted` when that is another.
  static WeightFeed of_operand(size_t input, const Desc& plain);
  static WeightFeed of_operand(size_t input, const Desc& plain, const Desc& wanted, bool turned = false);

  // The weight store's copy of input `input` in `role`, which has or gets the layout `wanted`.
  static WeightFeed of_store(const KernelRequest& request, size_t input, const std::string& role, const Desc& plain,
                             const Desc& wanted, bool turned = false);

  // The same copy for another direction: its axes exchanged (a matrix), or turned (a convolution).
  static WeightFeed of_store_exchanged(const KernelRequest& request, size_t input, const std::string& role,
                                       const Desc& plain, const Desc& held, const Desc& wanted, bool turned);

  const Desc& desc() const { return desc_; }  // of what prepare() returns
  int64_t scratch_bytes() const { return scratch_bytes_; }
  const void* prepare(const Operands& operands, void* scratch);

 private:
  void rearrange(const Desc& from, const Desc& wanted, bool turned);
  size_t input_ = 0;
  std::shared_ptr<const PackedWeight> stored_;
  Desc desc_;
  Reorder reorder_;
  int64_t scratch_bytes_ = 0;
};

}  // namespace lorikeet::cpu
