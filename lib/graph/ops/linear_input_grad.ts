/** dx = dy·w + Σ dh·down: the gradient of a linear layer's input, adapters included. dh carries the adapter's scale. */
import { emitOne, type Graph } from '../graph'
import { checkShape, defineOp, opError, required } from '../op'
import { columns, elements, rows, type Tensor } from '../tensor'

export const linearInputGradOp = defineOp({
  name: 'linear_input_grad',
  infer(inputs, attributes) {
    const dy = required('linear_input_grad', inputs, 0, 'dy')
    const w = required('linear_input_grad', inputs, 1, 'w')
    const [n = 0, k = 0] = w.shape
    if (columns(dy) !== n) throw opError('linear_input_grad', 'dy [.., N] and w [N, K] disagree on N', [dy, w])
    const count = attributes.adapters as number
    for (let a = 0; a < count; a++) {
      const dh = required('linear_input_grad', inputs, 2 + a, 'dh')
      checkShape(
        'linear_input_grad',
        required('linear_input_grad', inputs, 2 + count + a, 'down'),
        [columns(dh), k],
        'down',
      )
    }
    return [{ shape: [...dy.shape.slice(0, -1), k], dtype: dy.dtype }]
  },
  flops: (inputs, _outputs, attributes) =>
    2 *
    rows(inputs[0]!) *
    [inputs[1]!, ...inputs.slice(2 + (attributes.adapters as number))].reduce((s, w) => s + elements(w!.shape), 0),
})

export function linearInputGrad(
  graph: Graph,
  dy: Tensor,
  w: Tensor,
  adapters: readonly { dh: Tensor; down: Tensor }[],
): Tensor {
  const operands = [dy, w, ...adapters.map((a) => a.dh), ...adapters.map((a) => a.down)]
  return emitOne(graph, linearInputGradOp, operands, { adapters: adapters.length }, `${dy.name}.dx`)
}
