/** dmoments = scale · d total/d moments of `gaussian_kl`. */
import { emitOne, type Graph } from '../graph'
import { defineOp, required } from '../op'
import { elements, type Tensor } from '../tensor'

export const gaussianKlBackwardOp = defineOp({
  name: 'gaussian_kl_backward',
  infer(inputs) {
    const moments = required('gaussian_kl_backward', inputs, 0, 'moments')
    return [{ shape: moments.shape, dtype: moments.dtype }]
  },
  flops: (inputs) => 6 * elements(inputs[0]!.shape),
})

export function gaussianKlBackward(graph: Graph, moments: Tensor, scale: number): Tensor {
  return emitOne(graph, gaussianKlBackwardOp, [moments], { scale }, 'kl.dmoments')
}
