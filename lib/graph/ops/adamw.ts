/**
 * AdamW (Loshchilov and Hutter, arXiv 1711.05101) over the flat arena with global-norm clipping, as torch.optim.AdamW
 * after clip_grad_norm_. When the norm is not finite nothing changes. Writes the bf16 shadow in the same pass.
 *
 * params, grads (whole buffers), m, v, norm [1], scalars [2 + groups] = 1-β1^t, 1-β2^t, learning rate of each group
 *
 * The state m and v has the layout of params, or a shorter one of its own, where `state` says where each range begins.
 */
import { emit, type Graph } from '../graph'
import { checkShape, defineOp, numberAttribute, required, type Operand } from '../op'
import { elements, type Tensor } from '../tensor'

export const adamwOp = defineOp({
  name: 'adamw',
  infer(inputs, attributes) {
    const params = required('adamw', inputs, 0, 'params')
    checkShape('adamw', required('adamw', inputs, 1, 'grads'), params.shape, 'grads')
    const m = required('adamw', inputs, 2, 'm')
    checkShape('adamw', required('adamw', inputs, 3, 'v'), m.shape, 'v')
    checkShape('adamw', required('adamw', inputs, 4, 'norm'), [1], 'norm')
    required('adamw', inputs, 5, 'scalars')
    for (const name of ['beta1', 'beta2', 'eps', 'max_norm']) numberAttribute('adamw', attributes, name)
    return [undefined, undefined, undefined, undefined]
  },
  flops: (inputs) => 16 * elements(inputs[2]!.shape),
})

export interface AdamwRange {
  /** Elements of the flat arena. */
  start: number
  count: number
  /** Index of the learning rate in `scalars`, after the two bias corrections. */
  group: number
  weightDecay: number
  /** Where it begins in m and v; where it begins in the arena unless given. */
  state?: number
}

export interface AdamwSettings {
  beta1: number
  beta2: number
  eps: number
  /** 0 never clips. */
  maxNorm: number
}

export function adamw(
  graph: Graph,
  tensors: { params: Tensor; grads: Tensor; m: Tensor; v: Tensor; norm: Tensor; scalars: Tensor; shadow: Operand },
  ranges: readonly AdamwRange[],
  { beta1, beta2, eps, maxNorm }: AdamwSettings,
): void {
  const { params, grads, m, v, norm, scalars, shadow } = tensors
  const attributes = {
    start: ranges.map((range) => range.start),
    state: ranges.map((range) => range.state ?? range.start),
    count: ranges.map((range) => range.count),
    group: ranges.map((range) => range.group),
    weight_decay: ranges.map((range) => range.weightDecay),
    beta1,
    beta2,
    eps,
    max_norm: maxNorm,
  }
  emit(graph, adamwOp, [params, grads, m, v, norm, scalars], attributes, 'adamw', [params, m, v, shadow])
}
