/**
 * dw [n, k] += scale · dy[:, yColumn..]ᵀ · x[:, xColumn..], accumulated in f32: of a full weight, a down (dh, x) or an
 * up (dy, h).
 */
import { emit, type Graph } from '../graph'
import { defineOp, numberAttribute, opError, required } from '../op'
import { columns, elements, rows, type Tensor } from '../tensor'

export const linearWeightGradOp = defineOp({
  name: 'linear_weight_grad',
  infer(inputs, attributes) {
    const dy = required('linear_weight_grad', inputs, 0, 'dy')
    const x = required('linear_weight_grad', inputs, 1, 'x')
    if (rows(dy) !== rows(x)) throw opError('linear_weight_grad', 'dy and x differ in rows', [dy, x])
    for (const name of ['y_column', 'x_column', 'scale']) numberAttribute('linear_weight_grad', attributes, name)
    return [undefined]
  },
  flops: (inputs, outputs) => 2 * rows(inputs[0]!) * elements(outputs[0]!.shape),
})

export function linearWeightGrad(
  graph: Graph,
  dy: Tensor,
  x: Tensor,
  into: Tensor,
  { yColumn = 0, xColumn = 0, scale = 1 }: { yColumn?: number; xColumn?: number; scale?: number } = {},
): void {
  const [n = 0, k = 0] = into.shape
  if (into.shape.length !== 2 || yColumn + n > columns(dy) || xColumn + k > columns(x))
    throw opError('linear_weight_grad', 'the window of the gradient leaves dy or x', [dy, x, into])
  emit(graph, linearWeightGradOp, [dy, x], { y_column: yColumn, x_column: xColumn, scale }, into.name, [into])
}
