/**
 * Group normalisation (Wu and He 2018, arXiv 1803.08494) of x + shift, then SiLU if asked: the shift is a residual
 * block's time embedding, so that neither the sum nor the normalised image is stored.
 *
 * x [N, .., C], gamma [C], beta [C] f32, shift [N, C] -> y as x, stats [N, groups, 2] f32 (mean, 1/std)
 */
import { emit, type Graph } from '../graph'
import {
  checkDType,
  checkShape,
  defineOp,
  numberAttribute,
  opError,
  required,
  textAttribute,
  type Operand,
} from '../op'
import { columns, elements, type Tensor } from '../tensor'
import { groupNormBackward } from './group_norm_backward'
import { sumRows } from './sum_rows'

export const groupNormOp = defineOp({
  name: 'group_norm',
  infer(inputs, attributes) {
    const x = required('group_norm', inputs, 0, 'x')
    const c = columns(x)
    const groups = numberAttribute('group_norm', attributes, 'groups')
    if (c % groups !== 0) throw opError('group_norm', `${c} channels do not split into ${groups} groups`, [x])
    for (const [index, name] of [
      [1, 'gamma'],
      [2, 'beta'],
    ] as const) {
      const tensor = required('group_norm', inputs, index, name)
      checkShape('group_norm', tensor, [c], name)
      checkDType('group_norm', tensor, 'f32', name)
    }
    const batch = x.shape[0] ?? 0
    if (inputs[3]) checkShape('group_norm', inputs[3], [batch, c], 'shift')
    return [
      { shape: x.shape, dtype: x.dtype },
      { shape: [batch, groups, 2], dtype: 'f32' },
    ]
  },
  gradient(context) {
    const dy = context.dOutputs[0]
    if (!dy) return []
    const { graph, operation } = context
    const { inputs, attributes } = operation
    const [x, gamma, beta, shift] = inputs as [Tensor, Tensor, Tensor, Operand]
    const dx = groupNormBackward(graph, { dy, x, gamma, beta, shift, stats: operation.outputs[1]! }, attributes, {
      dGamma: context.accumulator(1),
      dBeta: context.accumulator(2),
    })
    const dShift = shift && context.needs(3) ? sumRows(graph, dx, x.shape[0] ?? 1) : undefined
    return [dx, undefined, undefined, dShift]
  },
  flops: (inputs) => 10 * elements(inputs[0]!.shape),
})

export interface GroupNormOptions {
  groups: number
  eps: number
  activation?: 'none' | 'silu'
  shift?: Operand
}

export function groupNorm(
  graph: Graph,
  x: Tensor,
  gamma: Tensor,
  beta: Tensor,
  { groups, eps, activation = 'none', shift }: GroupNormOptions,
  name = 'group_norm',
): Tensor {
  textAttribute('group_norm', { activation }, 'activation')
  return emit(graph, groupNormOp, [x, gamma, beta, shift], { groups, eps, activation }, name)[0]!
}
