/**
 * AdamW (Loshchilov and Hutter, arXiv 1711.05101) over the flat arena with global-norm clipping, as torch.optim.AdamW
 * after clip_grad_norm_. When the norm is not finite nothing changes. Writes the bf16 shadow in the same pass.
 *
 * params, grads, m, v (whole buffers), norm [1], scalars [2 + groups] = 1-β1^t, 1-β2^t, learning rate of each group
 */
import { emit, type Graph } from '../graph'
import { checkShape, defineOp, numberAttribute, required, type Operand } from '../op'
import { elements, type Tensor } from '../tensor'

export const adamwOp = defineOp({
  name: 'adamw',
  infer(inputs, attributes) {
    const params = required('adamw', inputs, 0, 'params')
    for (const [index, name] of [
      [1, 'grads'],
      [2, 'm'],
      [3, 'v'],
    ] as const)
      checkShape('adamw', required('adamw', inputs, index, name), params.shape, name)
    checkShape('adamw', required('adamw', inputs, 4, 'norm'), [1], 'norm')
    required('adamw', inputs, 5, 'scalars')
    for (const name of ['beta1', 'beta2', 'eps', 'max_norm']) numberAttribute('adamw', attributes, name)
    return [undefined, undefined, undefined, undefined]
  },
  flops: (inputs) => 16 * elements(inputs[0]!.shape),
})

export interface AdamwRange {
  /** Elements of the flat arena. */
  start: number
  count: number
  /** Index of the learning rate in `scalars`, after the two bias corrections. */
  group: number
  weightDecay: number
}

export function adamw(
  graph: Graph,
  tensors: { params: Tensor; grads: Tensor; m: Tensor; v: Tensor; norm: Tensor; scalars: Tensor; shadow: Operand },
  ranges: readonly AdamwRange[],
  { beta1, beta2, eps, maxNorm }: { beta1: number; beta2: number; eps: number; maxNorm: number },
): void {
  const { params, grads, m, v, norm, scalars, shadow } = tensors
  const attributes = {
    start: ranges.map((range) => range.start),
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
