/** Gradient of `layer_norm`: dx, and dgamma, dbeta if asked. */
import { emitOne, type Graph } from '../graph'
import { checkShape, defineOp, required, type Attributes, type Operand } from '../op'
import { elements, type Tensor } from '../tensor'

export const layerNormBackwardOp = defineOp({
  name: 'layer_norm_backward',
  infer(inputs) {
    const dy = required('layer_norm_backward', inputs, 0, 'dy')
    const x = required('layer_norm_backward', inputs, 1, 'x')
    checkShape('layer_norm_backward', dy, x.shape, 'dy')
    return [{ shape: x.shape, dtype: x.dtype }, undefined, undefined]
  },
  flops: (inputs) => 15 * elements(inputs[0]!.shape),
  inPlace: [{ input: 0, output: 0 }],
})

export function layerNormBackward(
  graph: Graph,
  { dy, x, gamma, stats }: { dy: Tensor; x: Tensor; gamma: Operand; stats: Tensor },
  attributes: Attributes,
  { dGamma, dBeta }: { dGamma: Operand; dBeta: Operand },
): Tensor {
  return emitOne(graph, layerNormBackwardOp, [dy, x, gamma, stats], attributes, `${dy.name}.dx`, [
    undefined,
    dGamma,
    dBeta,
  ])
}
