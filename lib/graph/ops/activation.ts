/** Pointwise activations: silu, gelu (erf), gelu_tanh, quick_gelu (x·sigmoid(1.702x), CLIP's). */
import { emitOne, type Graph } from '../graph'
import { defineOp, opError, required } from '../op'
import { elements, type Tensor } from '../tensor'
import { activationBackward } from './activation_backward'

export const activationKinds = ['silu', 'gelu', 'gelu_tanh', 'quick_gelu'] as const
export type ActivationKind = (typeof activationKinds)[number]

export const activationOp = defineOp({
  name: 'activation',
  infer(inputs, attributes) {
    const x = required('activation', inputs, 0, 'x')
    if (!activationKinds.some((kind) => kind === attributes.kind))
      throw opError('activation', `unknown kind ${String(attributes.kind)}`)
    return [{ shape: x.shape, dtype: x.dtype }]
  },
  gradient({ graph, operation, dOutputs: [dy] }) {
    return dy ? [activationBackward(graph, dy, operation.inputs[0]!, operation.attributes)] : []
  },
  flops: (inputs) => 8 * elements(inputs[0]!.shape),
  inPlace: [{ input: 0, output: 0 }],
})

export function activation(graph: Graph, x: Tensor, kind: ActivationKind, name: string = kind): Tensor {
  return emitOne(graph, activationOp, [x], { kind }, name)
}
