// linear_input_grad: dx = dy w + Σ dh_a down_a.
#include "../linear_layer.h"

namespace lorikeet::cpu {
namespace {

std::unique_ptr<Kernel> make_input_grad(const KernelRequest& request) {
  return make_linear_input_grad(request, read_linear_input_grad(request));
}

LORIKEET_REGISTER_CPU_KERNEL("linear_input_grad", make_input_grad);

}  // namespace
}  // namespace lorikeet::cpu
