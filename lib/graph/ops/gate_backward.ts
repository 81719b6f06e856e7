/**
 * Gradients of `gate`, those that are wanted: dz = dy · gate, and for each sample dgate = Σ dy · z over its tokens; dx
 * is dy itself. z is read for dgate only, and absent where that is not wanted.
 */
import { emit, type Graph } from '../graph'
import { checkDType, checkShape, defineOp, listAttribute, required, type Operand } from '../op'
import { columns, elements, type Tensor } from '../tensor'

export const gateBackwardOp = defineOp({
  name: 'gate_backward',
  infer(inputs, attributes) {
    const dy = required('gate_backward', inputs, 0, 'dy')
    const gate = required('gate_backward', inputs, 2, 'gate')
    const [dz, dGate] = listAttribute('gate_backward', attributes, 'wanted')
    if (dGate) checkShape('gate_backward', required('gate_backward', inputs, 1, 'z'), dy.shape, 'z')
    checkShape('gate_backward', gate, [dy.shape[0] ?? 0, columns(dy)], 'gate')
    checkDType('gate_backward', gate, dy.dtype, 'gate')
    return [
      dz ? { shape: dy.shape, dtype: dy.dtype } : undefined,
      dGate ? { shape: gate.shape, dtype: dy.dtype } : undefined,
    ]
  },
  flops: (inputs) => 3 * elements(inputs[0]!.shape),
  inPlace: [{ input: 0, output: 0 }],
})

export function gateBackward(
  graph: Graph,
  { dy, z, gate }: { dy: Tensor; z: Tensor; gate: Tensor },
  { dz, dGate }: { dz: boolean; dGate: boolean },
): Operand[] {
  const wanted = [dz, dGate].map(Number)
  return emit(graph, gateBackwardOp, [dy, dGate ? z : undefined, gate], { wanted }, `${dy.name}.d`)
}
