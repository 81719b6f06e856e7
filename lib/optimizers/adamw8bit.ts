/**
 * AdamW with its state in 8 bits (Dettmers et al., arXiv 2110.02861), as AdamW8bit of bitsandbytes: 2 bytes a parameter
 * instead of 8. Every parameter has blocks of 256 elements of its own, so none shares a scale with another. The state of
 * small parameters stays in f32: it costs little, and among them are the norms and biases, which take rounding worst. A
 * parameter here is what lies in the arena as one: the factors of packed projections count together.
 */
import { z } from 'zod'
import { adamw as adamwOp } from '../graph/ops/adamw'
import { adamw8bit as adamw8bitOp, codesShape, quantisationBlocks } from '../graph/ops/adamw_8bit'
import { flatBuffer, stateTensor, type Parameter, type ParameterSet, type StateBuffer } from '../graph/parameters'
import { elements } from '../graph/tensor'
import { adamwOptions, adamwScalars } from './adamw'
import type { OptimizerKind } from './optimizer'

export const adamw8bitOptions = adamwOptions.extend({
  kind: z.literal('adamw8bit').describe('AdamW with its state in 8 bits: a quarter of the memory'),
  min_8bit_size: z
    .int()
    .min(0)
    .default(4096)
    .describe('Parameters with fewer elements than this keep their state in f32'),
})

export type AdamW8bitOptions = z.infer<typeof adamw8bitOptions>

/** The parameters by how their state is held, and the buffers of that state: absent where nothing is held so. */
function layOut(set: ParameterSet, { min_8bit_size: least }: AdamW8bitOptions) {
  const size = ({ shape }: Parameter) => elements(shape)
  const all = [...set.parameters.values()]
  const [coded, plain] = [all.filter((one) => size(one) >= least), all.filter((one) => size(one) < least)]
  const blocks = quantisationBlocks(coded.map(size))
  const values = plain.reduce((sum, one) => sum + size(one), 0)
  const codes = (name: string): StateBuffer => ({ name, dtype: 'i32', shape: codesShape(blocks) })
  const floats = (name: string, count: number): StateBuffer => ({ name, dtype: 'f32', shape: [count] })
  return {
    coded,
    plain,
    ...(blocks > 0 && {
      codedState: {
        m: codes('m_codes'),
        v: codes('v_codes'),
        mScale: floats('m_scale', blocks),
        vScale: floats('v_scale', blocks),
      },
    }),
    ...(values > 0 && { plainState: { m: floats('m', values), v: floats('v', values) } }),
  }
}

export const adamw8bit: OptimizerKind<AdamW8bitOptions> = {
  name: 'adamw8bit',
  options: adamw8bitOptions,
  ...adamwScalars,
  state(set, options) {
    const { codedState = {}, plainState = {} } = layOut(set, options)
    return [...Object.values<StateBuffer>(codedState), ...Object.values<StateBuffer>(plainState)]
  },
  update(graph, set, { norm, scalars }, options, { groups, maxGradNorm }) {
    const { betas, eps, weight_decay: weightDecay } = options
    const settings = { beta1: betas[0], beta2: betas[1], eps, maxNorm: maxGradNorm }
    const shared = {
      params: flatBuffer(set, 'params'),
      grads: flatBuffer(set, 'grads'),
      norm,
      scalars,
      shadow: set.dtype === 'bf16' ? flatBuffer(set, 'shadow') : undefined,
    }
    const rangeOf = ({ offset, shape, group }: Parameter) => ({
      start: offset,
      count: elements(shape),
      group: groups.indexOf(group),
      weightDecay,
    })
    const { coded, plain, codedState, plainState } = layOut(set, options)
    if (codedState) {
      const { m, v, mScale, vScale } = codedState
      const state = { m: stateTensor(m), v: stateTensor(v), mScale: stateTensor(mScale), vScale: stateTensor(vScale) }
      adamw8bitOp(graph, { ...shared, ...state }, coded.map(rangeOf), settings)
    }
    if (plainState) {
      let state = 0
      const ranges = plain.map(rangeOf).map((range) => ({ ...range, state: (state += range.count) - range.count }))
      const { m, v } = plainState
      adamwOp(graph, { ...shared, m: stateTensor(m), v: stateTensor(v) }, ranges, settings)
    }
  },
}
