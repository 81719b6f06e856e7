/**
 * dw [O, kh, kw, C] += scale · correlation of dy with x, accumulated in f32: of a full weight or of a convolution's
 * down.
 */
import { emit, type Graph } from '../graph'
import { defineOp, opError, required } from '../op'
import { elements, rows, type Tensor } from '../tensor'
import type { Conv2dGeometry } from './conv2d'

export const conv2dWeightGradOp = defineOp({
  name: 'conv2d_weight_grad',
  infer(inputs) {
    required('conv2d_weight_grad', inputs, 0, 'dy')
    required('conv2d_weight_grad', inputs, 1, 'x')
    return [undefined]
  },
  flops: (inputs, outputs) => 2 * rows(inputs[0]!) * elements(outputs[0]!.shape),
})

export function conv2dWeightGrad(
  graph: Graph,
  dy: Tensor,
  x: Tensor,
  into: Tensor,
  { stride, padding }: Conv2dGeometry,
  scale = 1,
): void {
  if (into.shape.length !== 4 || into.shape[0] !== dy.shape[3] || into.shape[3] !== x.shape[3])
    throw opError('conv2d_weight_grad', 'dw [O, kh, kw, C] does not fit dy and x', [dy, x, into])
  emit(graph, conv2dWeightGradOp, [dy, x], { stride, padding, scale }, into.name, [into])
}
