/** norm [1] = √Σg² over a whole flat buffer, in f64 and in a fixed partition, so that it is the same in every run. */
import { emitOne, type Graph } from '../graph'
import { defineOp, required } from '../op'
import { elements, type Tensor } from '../tensor'

export const globalNormOp = defineOp({
  name: 'global_norm',
  infer(inputs) {
    required('global_norm', inputs, 0, 'g')
    return [{ shape: [1], dtype: 'f32' }]
  },
  flops: (inputs) => 2 * elements(inputs[0]!.shape),
})

export function globalNorm(graph: Graph, g: Tensor): Tensor {
  return emitOne(graph, globalNormOp, [g], {}, 'grad_norm')
}
