/**
 * Sums rows [.., C] in `groups` equal consecutive groups: the gradient of a bias (1 group, accumulated) or of a shift
 * per sample.
 */
import { emit, emitOne, type Graph } from '../graph'
import { checkShape, defineOp, numberAttribute, opError, required } from '../op'
import { columns, rows, type Tensor } from '../tensor'

export const sumRowsOp = defineOp({
  name: 'sum_rows',
  infer(inputs, attributes) {
    const x = required('sum_rows', inputs, 0, 'x')
    const groups = numberAttribute('sum_rows', attributes, 'groups')
    if (rows(x) % groups !== 0) throw opError('sum_rows', `the rows do not split into ${groups} groups`, [x])
    return [{ shape: [groups, columns(x)], dtype: x.dtype }]
  },
  flops: (inputs) => rows(inputs[0]!) * columns(inputs[0]!),
})

export function sumRows(graph: Graph, x: Tensor, groups: number): Tensor
export function sumRows(graph: Graph, x: Tensor, groups: 1, into: Tensor): void
export function sumRows(graph: Graph, x: Tensor, groups: number, into?: Tensor): Tensor | void {
  if (!into) return emitOne(graph, sumRowsOp, [x], { groups }, `${x.name}.sum`)
  checkShape('sum_rows', into, [columns(x)], 'the sum')
  emit(graph, sumRowsOp, [x], { groups }, into.name, [into])
}
