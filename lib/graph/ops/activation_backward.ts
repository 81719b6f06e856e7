/** dx = dy · act'(x) */
import { emitOne, type Graph } from '../graph'
import { checkShape, defineOp, required, type Attributes } from '../op'
import { elements, type Tensor } from '../tensor'

export const activationBackwardOp = defineOp({
  name: 'activation_backward',
  infer(inputs) {
    const dy = required('activation_backward', inputs, 0, 'dy')
    checkShape('activation_backward', dy, required('activation_backward', inputs, 1, 'x').shape, 'dy')
    return [{ shape: dy.shape, dtype: dy.dtype }]
  },
  flops: (inputs) => 12 * elements(inputs[0]!.shape),
  inPlace: [{ input: 0, output: 0 }],
})

export function activationBackward(graph: Graph, dy: Tensor, x: Tensor, attributes: Attributes): Tensor {
  return emitOne(graph, activationBackwardOp, [dy, x], attributes, `${dy.name}.dx`)
}
