/** Concatenates columns: a [.., C1], b [.., C2] -> [.., C1 + C2]. */
import { emitOne, type Graph } from '../graph'
import { checkDType, checkShape, defineOp, required } from '../op'
import { columns, type Tensor } from '../tensor'
import { slice } from './slice'

export const concatOp = defineOp({
  name: 'concat',
  infer(inputs) {
    const a = required('concat', inputs, 0, 'a')
    const b = required('concat', inputs, 1, 'b')
    checkShape('concat', b, [...a.shape.slice(0, -1), columns(b)], 'b')
    checkDType('concat', b, a.dtype, 'b')
    return [{ shape: [...a.shape.slice(0, -1), columns(a) + columns(b)], dtype: a.dtype }]
  },
  gradient({ graph, operation, dOutputs: [dy], needs }) {
    if (!dy) return []
    const [a, b] = operation.inputs as [Tensor, Tensor]
    return [
      needs(0) ? slice(graph, dy, 0, columns(a)) : undefined,
      needs(1) ? slice(graph, dy, columns(a), columns(b)) : undefined,
    ]
  },
})

export function concat(graph: Graph, a: Tensor, b: Tensor, name = 'concat'): Tensor {
  return emitOne(graph, concatOp, [a, b], {}, name)
}
