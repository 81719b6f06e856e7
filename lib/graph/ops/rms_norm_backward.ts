/** Gradient of `rms_norm`: dx, and dweight if asked. */
import { emitOne, type Graph } from '../graph'
import { checkShape, defineOp, required, type Operand } from '../op'
import { elements, type Tensor } from '../tensor'

export const rmsNormBackwardOp = defineOp({
  name: 'rms_norm_backward',
  infer(inputs) {
    const dy = required('rms_norm_backward', inputs, 0, 'dy')
    const x = required('rms_norm_backward', inputs, 1, 'x')
    checkShape('rms_norm_backward', dy, x.shape, 'dy')
    return [{ shape: x.shape, dtype: x.dtype }, undefined]
  },
  flops: (inputs) => 10 * elements(inputs[0]!.shape),
  inPlace: [{ input: 0, output: 0 }],
})

export function rmsNormBackward(
  graph: Graph,
  { dy, x, weight, stats }: { dy: Tensor; x: Tensor; weight: Tensor; stats: Tensor },
  dWeight: Operand,
): Tensor {
  return emitOne(graph, rmsNormBackwardOp, [dy, x, weight, stats], {}, `${dy.name}.dx`, [undefined, dWeight])
}
