/**
 * Root mean square normalisation over the last dimension (Zhang and Sennrich 2019, arXiv 1910.07467), as
 * torch.nn.RMSNorm: y = x / √(mean(x²) + eps) · weight. For heads of queries or keys, x is [.., heads, C].
 *
 * x [.., C], weight [C] f32 -> y as x, stats [M] f32 (1 / √(mean(x²) + eps))
 */
import { emit, type Graph } from '../graph'
import { checkDType, checkShape, defineOp, required } from '../op'
import { columns, elements, rows, type Tensor } from '../tensor'
import { rmsNormBackward } from './rms_norm_backward'

export const rmsNormOp = defineOp({
  name: 'rms_norm',
  infer(inputs) {
    const x = required('rms_norm', inputs, 0, 'x')
    const weight = required('rms_norm', inputs, 1, 'weight')
    checkShape('rms_norm', weight, [columns(x)], 'weight')
    checkDType('rms_norm', weight, 'f32', 'weight')
    return [
      { shape: x.shape, dtype: x.dtype },
      { shape: [rows(x)], dtype: 'f32' },
    ]
  },
  gradient(context) {
    const dy = context.dOutputs[0]
    if (!dy) return []
    const [x, weight] = context.operation.inputs as [Tensor, Tensor]
    const stats = context.operation.outputs[1]!
    return [rmsNormBackward(context.graph, { dy, x, weight, stats }, context.accumulator(1))]
  },
  flops: (inputs) => 4 * elements(inputs[0]!.shape),
})

export function rmsNorm(graph: Graph, x: Tensor, weight: Tensor, eps: number, name = 'rms_norm'): Tensor {
  return emit(graph, rmsNormOp, [x, weight], { eps }, name)[0]!
}
