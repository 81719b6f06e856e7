/**
 * GEGLU (Shazeer 2020, arXiv 2002.05202): x [.., 2F] -> y [.., F] = x[:, :F] · gelu(x[:, F:]),
 * gelu by erf as in diffusers.
 */
import { emitOne, type Graph } from '../graph'
import { defineOp, opError, required } from '../op'
import { columns, elements, type Tensor } from '../tensor'
import { gegluBackward } from './geglu_backward'

export const gegluOp = defineOp({
  name: 'geglu',
  infer(inputs) {
    const x = required('geglu', inputs, 0, 'x')
    if (columns(x) % 2 !== 0) throw opError('geglu', 'x must have an even number of columns', [x])
    return [{ shape: [...x.shape.slice(0, -1), columns(x) / 2], dtype: x.dtype }]
  },
  gradient({ graph, operation, dOutputs: [dy] }) {
    return dy ? [gegluBackward(graph, dy, operation.inputs[0]!)] : []
  },
  flops: (inputs) => 8 * elements(inputs[0]!.shape),
})

export function geglu(graph: Graph, x: Tensor, name = 'geglu'): Tensor {
  return emitOne(graph, gegluOp, [x], {}, name)
}
