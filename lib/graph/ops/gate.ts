/**
 * Gated residual (Peebles and Xie 2022, arXiv 2212.09748): y = x + gate · z, with a gate of each sample for all of its
 * tokens.
 *
 * x [N, .., C], z as x, gate [N, C] -> y as x
 */
import { emitOne, type Graph } from '../graph'
import { checkDType, checkShape, defineOp, required } from '../op'
import { columns, elements, type Tensor } from '../tensor'
import { gateBackward } from './gate_backward'

export const gateOp = defineOp({
  name: 'gate',
  infer(inputs) {
    const x = required('gate', inputs, 0, 'x')
    const z = required('gate', inputs, 1, 'z')
    const gate = required('gate', inputs, 2, 'gate')
    checkShape('gate', z, x.shape, 'z')
    checkDType('gate', z, x.dtype, 'z')
    checkShape('gate', gate, [x.shape[0] ?? 0, columns(x)], 'gate')
    checkDType('gate', gate, x.dtype, 'gate')
    return [{ shape: x.shape, dtype: x.dtype }]
  },
  gradient({ graph, operation, dOutputs: [dy], needs }) {
    if (!dy) return []
    const [, z, gate] = operation.inputs as [Tensor, Tensor, Tensor]
    const wanted = { dz: needs(1), dGate: needs(2) }
    return [dy, ...(wanted.dz || wanted.dGate ? gateBackward(graph, { dy, z, gate }, wanted) : [])]
  },
  flops: (inputs) => 2 * elements(inputs[0]!.shape),
  inPlace: [
    { input: 0, output: 0 },
    { input: 1, output: 0 },
  ],
})

export function gate(graph: Graph, x: Tensor, z: Tensor, gate: Tensor, name = 'gate'): Tensor {
  return emitOne(graph, gateOp, [x, z, gate], {}, name)
}
