/** dpred = scale · d total/d pred of `loss`. */
import { emitOne, type Graph } from '../graph'
import { defineOp, required, type Attributes, type Operand } from '../op'
import { elements, type Tensor } from '../tensor'

export const lossBackwardOp = defineOp({
  name: 'loss_backward',
  infer(inputs) {
    const pred = required('loss_backward', inputs, 0, 'pred')
    return [{ shape: pred.shape, dtype: pred.dtype }]
  },
  flops: (inputs) => 4 * elements(inputs[0]!.shape),
})

export function lossBackward(
  graph: Graph,
  operands: readonly Operand[],
  attributes: Attributes,
  scale: number,
): Tensor {
  return emitOne(graph, lossBackwardOp, operands, { ...attributes, scale }, 'loss.dpred')
}
