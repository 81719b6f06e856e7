/** Gradient of `slice`: dy [.., count] at its columns of dx [.., C], zero elsewhere. */
import { emitOne, type Graph } from '../graph'
import { defineOp, numberAttribute, opError, required } from '../op'
import { columns, type Tensor } from '../tensor'

export const sliceBackwardOp = defineOp({
  name: 'slice_backward',
  infer(inputs, attributes) {
    const dy = required('slice_backward', inputs, 0, 'dy')
    const start = numberAttribute('slice_backward', attributes, 'start')
    const total = numberAttribute('slice_backward', attributes, 'columns')
    if (start < 0 || start + columns(dy) > total)
      throw opError('slice_backward', `columns ${start}.. leave dx of ${total}`, [dy])
    return [{ shape: [...dy.shape.slice(0, -1), total], dtype: dy.dtype }]
  },
})

/** @param total columns of the slice's input */
export function sliceBackward(graph: Graph, dy: Tensor, start: number, total: number): Tensor {
  return emitOne(graph, sliceBackwardOp, [dy], { start, columns: total }, `${dy.name}.dx`)
}
