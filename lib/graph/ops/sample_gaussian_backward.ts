/**
 * Gradient of `sample_gaussian` with respect to the moments; nothing flows where the log variance was clamped to
 * [-30, 20].
 */
import { emitOne, type Graph } from '../graph'
import { defineOp, required } from '../op'
import { elements, type Tensor } from '../tensor'

export const sampleGaussianBackwardOp = defineOp({
  name: 'sample_gaussian_backward',
  infer(inputs) {
    const moments = required('sample_gaussian_backward', inputs, 1, 'moments')
    return [{ shape: moments.shape, dtype: moments.dtype }]
  },
  flops: (inputs) => 8 * elements(inputs[1]!.shape),
})

export function sampleGaussianBackward(graph: Graph, dz: Tensor, moments: Tensor, eps: Tensor): Tensor {
  return emitOne(graph, sampleGaussianBackwardOp, [dz, moments, eps], {}, `${dz.name}.dmoments`)
}
