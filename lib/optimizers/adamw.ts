/** AdamW as torch.optim.AdamW: decoupled weight decay, bias correction (Loshchilov and Hutter, arXiv 1711.05101). */
import { z } from 'zod'
import { adamw as adamwOp } from '../graph/ops/adamw'
import { flatBuffer } from '../graph/parameters'
import type { OptimizerKind } from './optimizer'

export const adamwOptions = z.strictObject({
  kind: z.literal('adamw').default('adamw'),
  betas: z
    .tuple([z.number().min(0).lt(1), z.number().min(0).lt(1)])
    .default([0.9, 0.999])
    .describe('Decay of the first and second moment'),
  eps: z.number().positive().default(1e-8).describe('Added to the denominator'),
  weight_decay: z.number().min(0).default(0.01).describe('Decoupled weight decay, times the learning rate'),
})

export type AdamWOptions = z.infer<typeof adamwOptions>

export const adamw: OptimizerKind<AdamWOptions> = {
  name: 'adamw',
  options: adamwOptions,
  slots: ['m', 'v'],
  scalarCount: (groups) => 2 + groups,
  scalars: ({ betas }, update, rates) => Float32Array.of(1 - betas[0] ** update, 1 - betas[1] ** update, ...rates),
  update(graph, set, { norm, scalars }, { betas, eps, weight_decay: weightDecay }, { groups, maxGradNorm }) {
    // Parameters of one group that follow each other are one range; padding between them is zero and stays so.
    const ranges: { start: number; count: number; group: number; weightDecay: number }[] = []
    for (const parameter of set.parameters.values()) {
      const group = groups.indexOf(parameter.group)
      if (ranges.at(-1)?.group !== group) ranges.push({ start: parameter.offset, count: 0, group, weightDecay })
    }
    ranges.forEach((range, i) => (range.count = (ranges[i + 1]?.start ?? set.elements) - range.start))
    const buffer = (name: string) => flatBuffer(set, name)
    adamwOp(
      graph,
      {
        params: buffer('params'),
        grads: buffer('grads'),
        m: buffer('m'),
        v: buffer('v'),
        norm,
        scalars,
        shadow: set.dtype === 'bf16' ? buffer('shadow') : undefined,
      },
      ranges,
      { beta1: betas[0], beta2: betas[1], eps, maxNorm: maxGradNorm },
    )
  },
}
