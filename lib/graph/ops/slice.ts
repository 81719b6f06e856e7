/** Columns start .. start + count of x [.., C]. */
import { emitOne, type Graph } from '../graph'
import { defineOp, numberAttribute, opError, required } from '../op'
import { columns, type Tensor } from '../tensor'
import { sliceBackward } from './slice_backward'

export const sliceOp = defineOp({
  name: 'slice',
  infer(inputs, attributes) {
    const x = required('slice', inputs, 0, 'x')
    const start = numberAttribute('slice', attributes, 'start')
    const count = numberAttribute('slice', attributes, 'count')
    if (start < 0 || count < 1 || start + count > columns(x))
      throw opError('slice', `columns ${start}..${start + count} leave x`, [x])
    return [{ shape: [...x.shape.slice(0, -1), count], dtype: x.dtype }]
  },
  gradient({ graph, operation, dOutputs: [dy] }) {
    const start = numberAttribute('slice', operation.attributes, 'start')
    return dy ? [sliceBackward(graph, dy, start, columns(operation.inputs[0]!))] : []
  },
})

export function slice(graph: Graph, x: Tensor, start: number, count: number, name = `${x.name}.slice`): Tensor {
  return emitOne(graph, sliceOp, [x], { start, count }, name)
}
