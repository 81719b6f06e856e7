/**
 * Layer normalisation over the last dimension (Ba et al. 2016, arXiv 1607.06450).
 * x [.., C], gamma [C] f32 or absent (1), beta [C] f32 or absent (0) -> y, stats [M, 2] f32 (mean, 1/std)
 */
import { emit, type Graph } from '../graph'
import { checkDType, checkShape, defineOp, required, type Operand } from '../op'
import { columns, elements, rows, type Tensor } from '../tensor'
import { layerNormBackward } from './layer_norm_backward'

export const layerNormOp = defineOp({
  name: 'layer_norm',
  infer(inputs) {
    const x = required('layer_norm', inputs, 0, 'x')
    for (const [index, name] of [
      [1, 'gamma'],
      [2, 'beta'],
    ] as const) {
      const tensor = inputs[index]
      if (!tensor) continue
      checkShape('layer_norm', tensor, [columns(x)], name)
      checkDType('layer_norm', tensor, 'f32', name)
    }
    return [
      { shape: x.shape, dtype: x.dtype },
      { shape: [rows(x), 2], dtype: 'f32' },
    ]
  },
  gradient(context) {
    const dy = context.dOutputs[0]
    if (!dy) return []
    const [x, gamma] = context.operation.inputs as [Tensor, Operand]
    const stats = context.operation.outputs[1]!
    return [
      layerNormBackward(context.graph, { dy, x, gamma, stats }, context.operation.attributes, {
        dGamma: context.accumulator(1),
        dBeta: context.accumulator(2),
      }),
    ]
  },
  flops: (inputs) => 8 * elements(inputs[0]!.shape),
})

export function layerNorm(
  graph: Graph,
  x: Tensor,
  gamma: Operand,
  beta: Operand,
  eps: number,
  name = 'layer_norm',
): Tensor {
  return emit(graph, layerNormOp, [x, gamma, beta], { eps }, name)[0]!
}
