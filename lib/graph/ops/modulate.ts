/**
 * Adaptive modulation of a normalised value (Peebles and Xie 2022, arXiv 2212.09748): y = x · (1 + scale) + shift, with
 * scale and shift of each sample for all of its tokens.
 *
 * x [N, .., C], scale [N, C], shift [N, C] -> y as x
 */
import { emitOne, type Graph } from '../graph'
import { checkDType, checkShape, defineOp, required } from '../op'
import { columns, elements, type Tensor } from '../tensor'
import { modulateBackward } from './modulate_backward'

export const modulateOp = defineOp({
  name: 'modulate',
  infer(inputs) {
    const x = required('modulate', inputs, 0, 'x')
    for (const [index, name] of [
      [1, 'scale'],
      [2, 'shift'],
    ] as const) {
      const tensor = required('modulate', inputs, index, name)
      checkShape('modulate', tensor, [x.shape[0] ?? 0, columns(x)], name)
      checkDType('modulate', tensor, x.dtype, name)
    }
    return [{ shape: x.shape, dtype: x.dtype }]
  },
  gradient({ graph, operation, dOutputs: [dy], needs }) {
    const [x, scale] = operation.inputs as [Tensor, Tensor]
    return dy ? modulateBackward(graph, { dy, x, scale }, { dx: needs(0), dScale: needs(1), dShift: needs(2) }) : []
  },
  flops: (inputs) => 3 * elements(inputs[0]!.shape),
  inPlace: [{ input: 0, output: 0 }],
})

export function modulate(
  graph: Graph,
  x: Tensor,
  { scale, shift }: { scale: Tensor; shift: Tensor },
  name = 'modulate',
): Tensor {
  return emitOne(graph, modulateOp, [x, scale, shift], {}, name)
}
