// linear: y = x wᵀ + bias, with adapters h = x downᵀ and y[:, c:c+n] += scale h[:, q:q+r] upᵀ. In bf16, y is rounded
// after the base product and again after each up: the ups add to the bf16 sum that is still in cache.
#include "../linear_layer.h"

namespace lorikeet::cpu {
namespace {

std::unique_ptr<Kernel> make_linear(const KernelRequest& request) {
  return make_linear_forward(request, read_linear(request));
}

LORIKEET_REGISTER_CPU_KERNEL("linear", make_linear);

}  // namespace
}  // namespace lorikeet::cpu
