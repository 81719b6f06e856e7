/** The same values in the same order under another shape. Costs nothing when nobody reads the input afterwards. */
import { emitOne, type Graph } from '../graph'
import { defineOp, listAttribute, opError, required } from '../op'
import { elements, type Tensor } from '../tensor'

export const reshapeOp = defineOp({
  name: 'reshape',
  infer(inputs, attributes) {
    const x = required('reshape', inputs, 0, 'x')
    const shape = listAttribute('reshape', attributes, 'shape')
    if (elements(shape) !== elements(x.shape)) throw opError('reshape', `cannot become [${shape.join(', ')}]`, [x])
    return [{ shape, dtype: x.dtype }]
  },
  gradient({ graph, operation, dOutputs: [dy] }) {
    return dy ? [reshape(graph, dy, operation.inputs[0]!.shape)] : []
  },
  flops: () => 0,
  inPlace: [{ input: 0, output: 0 }],
})

export function reshape(graph: Graph, x: Tensor, shape: readonly number[], name = x.name): Tensor {
  return emitOne(graph, reshapeOp, [x], { shape }, name)
}
