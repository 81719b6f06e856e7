/**
 * Gradient of `group_norm`: dx (which is the gradient of the shift before its sum over space, too), and dgamma, dbeta
 * if asked.
 */
import { emitOne, type Graph } from '../graph'
import { checkShape, defineOp, required, type Attributes, type Operand } from '../op'
import { elements, type Tensor } from '../tensor'

export const groupNormBackwardOp = defineOp({
  name: 'group_norm_backward',
  infer(inputs) {
    const dy = required('group_norm_backward', inputs, 0, 'dy')
    const x = required('group_norm_backward', inputs, 1, 'x')
    checkShape('group_norm_backward', dy, x.shape, 'dy')
    required('group_norm_backward', inputs, 5, 'stats')
    return [{ shape: x.shape, dtype: x.dtype }, undefined, undefined]
  },
  flops: (inputs) => 20 * elements(inputs[0]!.shape),
  inPlace: [{ input: 0, output: 0 }],
})

export function groupNormBackward(
  graph: Graph,
  {
    dy,
    x,
    gamma,
    beta,
    shift,
    stats,
  }: { dy: Tensor; x: Tensor; gamma: Tensor; beta: Tensor; shift: Operand; stats: Tensor },
  attributes: Attributes,
  { dGamma, dBeta }: { dGamma: Operand; dBeta: Operand },
): Tensor {
  const operands = [dy, x, gamma, beta, shift, stats]
  return emitOne(graph, groupNormBackwardOp, operands, attributes, `${dy.name}.dx`, [undefined, dGamma, dBeta])
}
