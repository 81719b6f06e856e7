/** AdamW as torch.optim.AdamW: decoupled weight decay, bias correction (Loshchilov and Hutter, arXiv 1711.05101). */
import { z } from 'zod'
import { adamw as adamwOp } from '../graph/ops/adamw'
import { flatBuffer, flatState, stateTensor } from '../graph/parameters'
import type { OptimizerKind } from './optimizer'

export const adamwOptions = z.strictObject({
  kind: z.literal('adamw').default('adamw').describe('AdamW with its state in f32'),
  betas: z
    .tuple([z.number().min(0).lt(1), z.number().min(0).lt(1)])
    .default([0.9, 0.999])
    .describe('Decay of the first and second moment'),
  eps: z.number().positive().default(1e-8).describe('Added to the denominator'),
  weight_decay: z.number().min(0).default(0.01).describe('Decoupled weight decay, times the learning rate'),
})

export type AdamWOptions = z.infer<typeof adamwOptions>

/** What every kind of AdamW takes from step to step. */
export const adamwScalars = {
  scalarCount: (groups: number) => 2 + groups,
  scalars: ({ betas }: Pick<AdamWOptions, 'betas'>, update: number, rates: readonly number[]) =>
    Float32Array.of(1 - betas[0] ** update, 1 - betas[1] ** update, ...rates),
}

export const adamw: OptimizerKind<AdamWOptions> = {
  name: 'adamw',
  options: adamwOptions,
  ...adamwScalars,
  state: (set) => [flatState(set, 'm'), flatState(set, 'v')],
  update(graph, set, { norm, scalars }, { betas, eps, weight_decay: weightDecay }, { groups, maxGradNorm }) {
    // Parameters of one group that follow each other are one range; padding between them is zero and stays so.
    const ranges: { start: number; count: number; group: number; weightDecay: number }[] = []
    for (const parameter of set.parameters.values()) {
      const group = groups.indexOf(parameter.group)
      if (ranges.at(-1)?.group !== group) ranges.push({ start: parameter.offset, count: 0, group, weightDecay })
    }
    ranges.forEach((range, i) => (range.count = (ranges[i + 1]?.start ?? set.elements) - range.start))
    adamwOp(
      graph,
      {
        params: flatBuffer(set, 'params'),
        grads: flatBuffer(set, 'grads'),
        m: stateTensor(flatState(set, 'm')),
        v: stateTensor(flatState(set, 'v')),
        norm,
        scalars,
        shadow: set.dtype === 'bf16' ? flatBuffer(set, 'shadow') : undefined,
      },
      ranges,
      { beta1: betas[0], beta2: betas[1], eps, maxNorm: maxGradNorm },
    )
  },
}
