/** Gradient of `upsample_nearest`: every source pixel sums the gradients of its copies. */
import { emitOne, type Graph } from '../graph'
import { defineOp, listAttribute, required } from '../op'
import { elements, type Tensor } from '../tensor'

export const upsampleNearestBackwardOp = defineOp({
  name: 'upsample_nearest_backward',
  infer(inputs, attributes) {
    const dy = required('upsample_nearest_backward', inputs, 0, 'dy')
    const [height = 0, width = 0] = listAttribute('upsample_nearest_backward', attributes, 'size')
    return [{ shape: [dy.shape[0] ?? 0, height, width, dy.shape[3] ?? 0], dtype: dy.dtype }]
  },
  flops: (inputs) => elements(inputs[0]!.shape),
})

/** @param shape of the upsampling's input, [N, H, W, C] */
export function upsampleNearestBackward(graph: Graph, dy: Tensor, shape: readonly number[]): Tensor {
  return emitOne(graph, upsampleNearestBackwardOp, [dy], { size: shape.slice(1, 3) }, `${dy.name}.dx`)
}
