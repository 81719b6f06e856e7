/**
 * Nearest-neighbour upsampling of [N, H, W, C] to a given size; source row = floor(i·H/Ho) as torch
 * interpolate(mode='nearest').
 */
import { emitOne, type Graph } from '../graph'
import { defineOp, listAttribute, opError, required } from '../op'
import type { Tensor } from '../tensor'
import { upsampleNearestBackward } from './upsample_nearest_backward'

export const upsampleNearestOp = defineOp({
  name: 'upsample_nearest',
  infer(inputs, attributes) {
    const x = required('upsample_nearest', inputs, 0, 'x')
    const [height = 0, width = 0] = listAttribute('upsample_nearest', attributes, 'size')
    const [n = 0, h = 0, w = 0, c = 0] = x.shape
    if (x.shape.length !== 4 || height < h || width < w)
      throw opError('upsample_nearest', `cannot grow to ${height}x${width}`, [x])
    return [{ shape: [n, height, width, c], dtype: x.dtype }]
  },
  gradient({ graph, operation, dOutputs: [dy] }) {
    return dy ? [upsampleNearestBackward(graph, dy, operation.inputs[0]!.shape)] : []
  },
})

export function upsampleNearest(graph: Graph, x: Tensor, size: readonly [number, number], name = 'upsample'): Tensor {
  return emitOne(graph, upsampleNearestOp, [x], { size }, name)
}
