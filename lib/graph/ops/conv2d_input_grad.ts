/**
 * dx of a convolution, adapters included: the transposed convolution of dy with w plus that of each dh with its down.
 */
import { emitOne, type Graph } from '../graph'
import { defineOp, listAttribute, opError, required } from '../op'
import { elements, rows, type Tensor } from '../tensor'
import type { Conv2dGeometry } from './conv2d'

export const conv2dInputGradOp = defineOp({
  name: 'conv2d_input_grad',
  infer(inputs, attributes) {
    const dy = required('conv2d_input_grad', inputs, 0, 'dy')
    const w = required('conv2d_input_grad', inputs, 1, 'w')
    const [height = 0, width = 0] = listAttribute('conv2d_input_grad', attributes, 'size')
    if (dy.shape.length !== 4 || dy.shape[3] !== w.shape[0])
      throw opError('conv2d_input_grad', 'dy [N, Ho, Wo, O] and w [O, kh, kw, C] disagree', [dy, w])
    return [{ shape: [dy.shape[0] ?? 0, height, width, w.shape[3] ?? 0], dtype: dy.dtype }]
  },
  flops: (inputs, _outputs, attributes) =>
    2 *
    rows(inputs[0]!) *
    [inputs[1]!, ...inputs.slice(2 + (attributes.adapters as number))].reduce((s, w) => s + elements(w!.shape), 0),
})

/** @param shape of the convolution's input, [N, H, W, C] */
export function conv2dInputGrad(
  graph: Graph,
  dy: Tensor,
  w: Tensor,
  shape: readonly number[],
  { stride, padding }: Conv2dGeometry,
  adapters: readonly { dh: Tensor; down: Tensor }[],
): Tensor {
  const operands = [dy, w, ...adapters.map((a) => a.dh), ...adapters.map((a) => a.down)]
  const attributes = { stride, padding, adapters: adapters.length, size: shape.slice(1, 3) }
  return emitOne(graph, conv2dInputGradOp, operands, attributes, `${dy.name}.dx`)
}
