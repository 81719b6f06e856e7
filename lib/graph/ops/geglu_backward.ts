/** Gradient of `geglu`: dy [.., F], x [.., 2F] -> dx [.., 2F] */
import { emitOne, type Graph } from '../graph'
import { defineOp, opError, required } from '../op'
import { columns, elements, type Tensor } from '../tensor'

export const gegluBackwardOp = defineOp({
  name: 'geglu_backward',
  infer(inputs) {
    const dy = required('geglu_backward', inputs, 0, 'dy')
    const x = required('geglu_backward', inputs, 1, 'x')
    if (columns(x) !== 2 * columns(dy)) throw opError('geglu_backward', 'x must be twice as wide as dy', [dy, x])
    return [{ shape: x.shape, dtype: x.dtype }]
  },
  flops: (inputs) => 12 * elements(inputs[1]!.shape),
  inPlace: [{ input: 1, output: 0 }],
})

export function gegluBackward(graph: Graph, dy: Tensor, x: Tensor): Tensor {
  return emitOne(graph, gegluBackwardOp, [dy, x], {}, `${dy.name}.dx`)
}
