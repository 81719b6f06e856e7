// adamw: one step of AdamW (Loshchilov and Hutter, arXiv 1711.05101) over the trainable parameters, in place, in the
// order of operations of torch.optim.AdamW, with the gradient clipped as torch.nn.utils.clip_grad_norm_ does. The bf16
// shadow that the matmuls read is written in the same pass. When the norm is not finite nothing changes.
#include <cmath>
#include <vector>

#include "../elementwise.h"

namespace lorikeet::cpu {
namespace {

// Consecutive parameters of one learning rate and weight decay.
struct Piece {
  int64_t start, count, group;
  double weight_decay;
};

// What is the same for all elements of a piece. Computed in f64 and rounded once, as Python's scalars are.
struct Step {
  float decay;      // 1 - lr * weight_decay
  float clip;       // factor of the gradient
  float mean_rate;  // 1 - beta1
  float beta2, square_rate;
  float denominator_scale;  // sqrt(1 - beta2^t)
  float eps;
  float step_size;  // lr / (1 - beta1^t)
};

template <bool kShadow>
LORIKEET_CLONES void update(const Step& step, const float* g, float* p, float* m, float* v, bf16* shadow, int64_t n) {
  const Step s = step;
  // torch.lerp starts from the nearer end
  const bool near = s.mean_rate < 0.5f;
  const float rate = near ? s.mean_rate : s.mean_rate - 1.0f;
#pragma omp simd
  for (int64_t i = 0; i < n; i++) {
    const float gradient = g[i] * s.clip;
    const float mean = (near ? m[i] : gradient) + rate * (gradient - m[i]);
    const float square = v[i] * s.beta2 + s.square_rate * gradient * gradient;
    const float denominator = std::sqrt(square) / s.denominator_scale + s.eps;
    const float parameter = p[i] * s.decay - s.step_size * mean / denominator;
    m[i] = mean;
    v[i] = square;
    p[i] = parameter;
    if (kShadow) shadow[i] = to_bf16(parameter);
  }
}

// The ranges of the instruction, checked and cut into pieces that are worth sharing out.
std::vector<Piece> read_pieces(const KernelRequest& request, int64_t size, int64_t groups) {
  const Instruction& instruction = request.instruction;
  const std::vector<int64_t> start = instruction.integers("start"), count = instruction.integers("count");
  const std::vector<int64_t> group = instruction.integers("group");
  const std::vector<double>& weight_decay = instruction.numbers("weight_decay");
  require(count.size() == start.size() && group.size() == start.size() && weight_decay.size() == start.size(),
          "adamw: start, count, group and weight_decay have ", start.size(), ", ", count.size(), ", ", group.size(),
          " and ", weight_decay.size(), " entries; they must be as many");
  std::vector<Piece> pieces;
  for (size_t i = 0; i < start.size(); i++) {
    require(start[i] >= 0 && count[i] >= 0 && start[i] <= size && count[i] <= size - start[i], "adamw: range ", i,
            " is ", start[i], " .. ", start[i] + count[i], ", params has ", size, " elements");
    require(group[i] >= 0 && group[i] < groups, "adamw: range ", i, " is of group ", group[i], ", scalars holds ",
            groups, " learning rates");
    for (int64_t done = 0; done < count[i]; done += kElementGrain) {
      pieces.push_back({start[i] + done, std::min(kElementGrain, count[i] - done), group[i], weight_decay[i]});
    }
  }
  return pieces;
}

std::unique_ptr<Kernel> make_adamw(const KernelRequest& request) {
  expect_operands(request, {"params", "grads", "m", "v", "norm", "scalars"}, {"params", "m", "v", "shadow?"});
  const TensorSpec& params = request.inputs[0];
  const char* names[] = {"params", "grads", "m", "v", "norm", "scalars"};
  for (size_t i = 0; i < 6; i++) expect_dtype(request, names[i], request.inputs[i], {DType::f32});
  for (size_t i = 1; i < 4; i++) expect_shape(request, names[i], request.inputs[i], params.shape, "params", params);
  expect_in_place(request, "params", 0, 0);
  expect_in_place(request, "m", 2, 1);
  expect_in_place(request, "v", 3, 2);
  const bool has_shadow = request.has_output(3);
  if (has_shadow) {
    expect_dtype(request, "shadow", request.outputs[3], {DType::bf16});
    expect_shape(request, "shadow", request.outputs[3], params.shape, "params", params);
  }
  const TensorSpec& scalars = request.inputs[5];
  require(elements_of(request.inputs[4].shape) == 1, "adamw: norm is ", to_string(request.inputs[4].shape),
          "; it must be [1]");
  require(scalars.shape.size() == 1 && scalars.shape[0] >= 2, "adamw: scalars is ", to_string(scalars.shape),
          "; it must be [2 + groups]");

  const double beta1 = request.instruction.number("beta1"), beta2 = request.instruction.number("beta2");
  const double eps = request.instruction.number("eps"), max_norm = request.instruction.number("max_norm");
  std::vector<Piece> pieces = read_pieces(request, elements_of(params.shape), scalars.shape[0] - 2);
  return kernel_from([=, pieces = std::move(pieces)](const Operands& operands) {
    const float norm = *operands.inputs[4].as<const float>();
    if (!std::isfinite(norm)) return;
    const float clip = max_norm > 0 ? std::min(1.0f, static_cast<float>(max_norm) / (norm + 1e-6f)) : 1.0f;
    const float* scalars = operands.inputs[5].as<const float>();
    const float* g = operands.inputs[1].as<const float>();
    float* p = operands.outputs[0].as<float>();
    float* m = operands.outputs[1].as<float>();
    float* v = operands.outputs[2].as<float>();
    bf16* shadow = has_shadow ? operands.outputs[3].as<bf16>() : nullptr;
    parallel_for(static_cast<int64_t>(pieces.size()), 1, [&](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; i++) {
        const Piece& piece = pieces[i];
        const double lr = scalars[2 + piece.group];
        Step step;
        step.decay = static_cast<float>(1.0 - lr * piece.weight_decay);
        step.clip = clip;
        step.mean_rate = static_cast<float>(1.0 - beta1);
        step.beta2 = static_cast<float>(beta2);
        step.square_rate = static_cast<float>(1.0 - beta2);
        step.denominator_scale = static_cast<float>(std::sqrt(static_cast<double>(scalars[1])));
        step.eps = static_cast<float>(eps);
        step.step_size = static_cast<float>(lr / scalars[0]);
        const int64_t at = piece.start;
        if (shadow) {
          update<true>(step, g + at, p + at, m + at, v + at, shadow + at, piece.count);
        } else {
          update<false>(step, g + at, p + at, m + at, v + at, nullptr, piece.count);
        }
      }
    });
  });
}

LORIKEET_REGISTER_CPU_KERNEL("adamw", make_adamw);

}  // namespace
}  // namespace lorikeet::cpu
