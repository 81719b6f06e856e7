/**
 * Gradients of `modulate`, those that are wanted: dx = dy · (1 + scale), and for each sample dscale = Σ dy · x and
 * dshift = Σ dy over its tokens. x is read for dscale only, and absent where that is not wanted.
 */
import { emit, type Graph } from '../graph'
import { checkDType, checkShape, defineOp, listAttribute, required, type Operand } from '../op'
import { columns, elements, type Tensor } from '../tensor'

export const modulateBackwardOp = defineOp({
  name: 'modulate_backward',
  infer(inputs, attributes) {
    const dy = required('modulate_backward', inputs, 0, 'dy')
    const scale = required('modulate_backward', inputs, 2, 'scale')
    const [dx, dScale, dShift] = listAttribute('modulate_backward', attributes, 'wanted')
    if (dScale) checkShape('modulate_backward', required('modulate_backward', inputs, 1, 'x'), dy.shape, 'x')
    checkShape('modulate_backward', scale, [dy.shape[0] ?? 0, columns(dy)], 'scale')
    checkDType('modulate_backward', scale, dy.dtype, 'scale')
    return [
      dx ? { shape: dy.shape, dtype: dy.dtype } : undefined,
      dScale ? { shape: scale.shape, dtype: dy.dtype } : undefined,
      dShift ? { shape: scale.shape, dtype: dy.dtype } : undefined,
    ]
  },
  flops: (inputs) => 4 * elements(inputs[0]!.shape),
  inPlace: [{ input: 0, output: 0 }],
})

export function modulateBackward(
  graph: Graph,
  { dy, x, scale }: { dy: Tensor; x: Tensor; scale: Tensor },
  { dx, dScale, dShift }: { dx: boolean; dScale: boolean; dShift: boolean },
): Operand[] {
  const wanted = [dx, dScale, dShift].map(Number)
  return emit(graph, modulateBackwardOp, [dy, dScale ? x : undefined, scale], { wanted }, `${dy.name}.d`)
}
