/**
 * Sinusoidal embedding of timesteps [N] -> [N, C] (Vaswani et al. 2017, arXiv 1706.03762): angles t·f_i with
 * f_i = exp(-ln(max_period)·i/(C/2 - shift)); cosines first in Stable Diffusion (flip_sin_to_cos).
 */
import { emitOne, type Graph } from '../graph'
import { checkDType, defineOp, numberAttribute, required } from '../op'
import type { ComputeDType, Tensor } from '../tensor'

export const timestepEmbeddingOp = defineOp({
  name: 'timestep_embedding',
  infer(inputs, attributes) {
    const t = required('timestep_embedding', inputs, 0, 't')
    checkDType('timestep_embedding', t, 'f32', 't')
    const dtype: ComputeDType = attributes.dtype === 'bf16' ? 'bf16' : 'f32'
    return [{ shape: [t.shape[0] ?? 0, numberAttribute('timestep_embedding', attributes, 'channels')], dtype }]
  },
})

export function timestepEmbedding(
  graph: Graph,
  t: Tensor,
  channels: number,
  { maxPeriod = 10000, cosFirst = true, shift = 0 }: { maxPeriod?: number; cosFirst?: boolean; shift?: number } = {},
): Tensor {
  const attributes = { channels, dtype: graph.dtype, max_period: maxPeriod, cos_first: Number(cosFirst), shift }
  return emitOne(graph, timestepEmbeddingOp, [t], attributes, 'timestep_embedding')
}
