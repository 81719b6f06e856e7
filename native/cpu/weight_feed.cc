#include "weight_feed.h"

namespace lorikeet::cpu {

void WeightFeed::rearrange(const Desc& from, const Desc& wanted, bool turned) {
  desc_ = wanted;
  if (!turned && from == wanted) return;
  reorder_ = Reorder(from, wanted, turned);
  scratch_bytes_ = aligned(static_cast<int64_t>(wanted.get_size()));
}

WeightFeed WeightFeed::of_operand(size_t input, const Desc& plain) { return of_operand(input, plain, plain); }

WeightFeed WeightFeed::of_operand(size_t input, const Desc& plain, const Desc& wanted, bool turned) {
  WeightFeed feed;
  feed.input_ = input;
  feed.rearrange(plain, wanted, turned);
  return feed;
}

static const Desc& desc_of(const PackedWeight& weight) {
  return dynamic_cast<const DnnlLayout&>(*weight.layout).packed();
}

WeightFeed WeightFeed::of_store(const KernelRequest& request, size_t input, const std::string& role, const Desc& plain,
                                const Desc& wanted, bool turned) {
  WeightFeed feed;
  request.use_own_layout(input);
  feed.stored_ =
      request.weights.packed(request.inputs[input].name, role, std::make_shared<DnnlLayout>(plain, wanted, turned));
  feed.rearrange(desc_of(*feed.stored_), wanted, false);
  return feed;
}

WeightFeed WeightFeed::of_store_exchanged(const KernelRequest& request, size_t input, const std::string& role,
                                          const Desc& plain, const Desc& held, const Desc& wanted, bool turned) {
  WeightFeed feed;
  request.use_own_layout(input);
  feed.stored_ = request.weights.packed(request.inputs[input].name, role, std::make_shared<DnnlLayout>(plain, held));
  const Desc& from = desc_of(*feed.stored_);
  feed.rearrange(turned ? from : from.permute_axes({1, 0}), wanted, turned);
  return feed;
}

const void* WeightFeed::prepare(const Operands& operands, void* scratch) {
  const void* weights = stored_ ? stored_->data() : operands.inputs[input_].data;
  if (scratch_bytes_ == 0) return weights;
  reorder_.run(weights, scratch);
  return scratch;
}

}  // namespace lorikeet::cpu
