/** y = a + b, same shapes. */
import { emitOne, type Graph } from '../graph'
import { checkDType, checkShape, defineOp, required } from '../op'
import type { Tensor } from '../tensor'

export const addOp = defineOp({
  name: 'add',
  infer(inputs) {
    const a = required('add', inputs, 0, 'a')
    const b = required('add', inputs, 1, 'b')
    checkShape('add', b, a.shape, 'b')
    checkDType('add', b, a.dtype, 'b')
    return [{ shape: a.shape, dtype: a.dtype }]
  },
  gradient: ({ dOutputs: [dy] }) => [dy, dy],
  inPlace: [
    { input: 0, output: 0 },
    { input: 1, output: 0 },
  ],
})

export function add(graph: Graph, a: Tensor, b: Tensor, name = 'add'): Tensor {
  return emitOne(graph, addOp, [a, b], {}, name)
}
