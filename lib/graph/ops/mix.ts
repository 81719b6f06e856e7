/**
 * y[n] = ca[n]·a[n] + cb[n]·b[n]: noised latents, the v target, flow interpolation. All inputs f32; y f32 or the
 * compute dtype.
 */
import { emitOne, type Graph } from '../graph'
import { checkDType, checkShape, defineOp, required } from '../op'
import type { DType, Tensor } from '../tensor'

export const mixOp = defineOp({
  name: 'mix',
  infer(inputs, attributes) {
    const a = required('mix', inputs, 0, 'a')
    checkShape('mix', required('mix', inputs, 1, 'b'), a.shape, 'b')
    for (const index of [2, 3])
      checkShape('mix', required('mix', inputs, index, 'coefficients'), [a.shape[0] ?? 0], 'coefficients')
    for (const tensor of inputs) if (tensor) checkDType('mix', tensor, 'f32', tensor.name)
    return [{ shape: a.shape, dtype: attributes.dtype === 'bf16' ? 'bf16' : 'f32' }]
  },
})

export function mix(
  graph: Graph,
  { a, b, ca, cb }: { a: Tensor; b: Tensor; ca: Tensor; cb: Tensor },
  dtype: DType = 'f32',
  name = 'mix',
): Tensor {
  return emitOne(graph, mixOp, [a, b, ca, cb], { dtype }, name)
}
