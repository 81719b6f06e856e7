/**
 * UNet names of the original latent diffusion code (CompVis/latent-diffusion,
 * ldm/modules/diffusionmodules/openaimodel.py) and of the modules in diffusers. The original numbers its blocks in one
 * row:
 *
 *     input_blocks.0             conv_in
 *     input_blocks.1 + i(L+1)+j  down block i, layer j: slot 0 residual block, 1 attention; layer L: slot 0 downsampler
 *     middle_block.0 .1 .2       residual block, attention, residual block
 *     output_blocks.i(L+1)+j     up block i, layer j: slots as above; behind the last layer's, the upsampler
 *
 * where L is the number of layers of a down block. Inside an attention both use the same names.
 */

export interface LdmUnetLayout {
  layersPerBlock: number
  /** Whether up block i has attentions, which decides the upsampler's slot. */
  upAttention: boolean[]
}

const modulePairs: [inner: string, ldm: string][] = [
  ['conv_in', 'input_blocks.0.0'],
  ['time_embedding.linear_1', 'time_embed.0'],
  ['time_embedding.linear_2', 'time_embed.2'],
  ['add_embedding.linear_1', 'label_emb.0.0'],
  ['add_embedding.linear_2', 'label_emb.0.2'],
  ['mid_block.attentions.0', 'middle_block.1'],
  ['conv_norm_out', 'out.0'],
  ['conv_out', 'out.2'],
]

const resnetPairs: [inner: string, ldm: string][] = [
  ['norm1', 'in_layers.0'],
  ['conv1', 'in_layers.2'],
  ['time_emb_proj', 'emb_layers.1'],
  ['norm2', 'out_layers.0'],
  ['conv2', 'out_layers.3'],
  ['conv_shortcut', 'skip_connection'],
]

/**
 * @param name a module's path or a tensor's name, as in diffusers
 * @returns the same in the original layout, without the prefix `model.diffusion_model.`; undefined for an unknown name
 */
export function toLdmUnet(name: string, { layersPerBlock, upAttention }: LdmUnetLayout): string | undefined {
  const direct = replacePrefix(name, modulePairs, 0)
  if (direct !== undefined) return direct
  const mid = /^mid_block\.resnets\.([01])\.(.+)$/.exec(name)
  if (mid) return join(`middle_block.${2 * Number(mid[1])}`, replacePrefix(mid[2], resnetPairs, 0))
  const match = /^(down|up)_blocks\.(\d+)\.(resnets|attentions|downsamplers|upsamplers)\.(\d+)\.(.+)$/.exec(name)
  if (!match) return undefined
  const [, side, blockText, kind, layerText, rest] = match
  const block = Number(blockText)
  const layer = Number(layerText)
  const row = side === 'down' ? 'input_blocks' : 'output_blocks'
  const first = block * (layersPerBlock + 1) + (side === 'down' ? 1 : 0)
  if (kind === 'resnets') return join(`${row}.${first + layer}.0`, replacePrefix(rest, resnetPairs, 0))
  if (kind === 'attentions') return `${row}.${first + layer}.1.${rest}`
  const last = `${row}.${first + layersPerBlock}`
  if (kind === 'downsamplers') return join(`${last}.0`, replacePrefix(rest, [['conv', 'op']], 0))
  return `${last}.${upAttention[block] ? 2 : 1}.${rest}`
}

/** The inverse of `toLdmUnet`; needs only `layersPerBlock`. */
export function fromLdmUnet(key: string, layersPerBlock: number): string | undefined {
  const direct = replacePrefix(key, modulePairs, 1)
  if (direct !== undefined) return direct
  const mid = /^middle_block\.([02])\.(.+)$/.exec(key)
  if (mid) return join(`mid_block.resnets.${Number(mid[1]) / 2}`, replacePrefix(mid[2], resnetPairs, 1))
  const match = /^(input|output)_blocks\.(\d+)\.([012])\.(.+)$/.exec(key)
  if (!match) return undefined
  const [, side, indexText, slot, rest] = match
  const index = Number(indexText) - (side === 'input' ? 1 : 0)
  const layer = index % (layersPerBlock + 1)
  const path = `${side === 'input' ? 'down' : 'up'}_blocks.${Math.floor(index / (layersPerBlock + 1))}`
  if (side === 'input' && layer === layersPerBlock) {
    return join(`${path}.downsamplers.0`, replacePrefix(rest, [['conv', 'op']], 1))
  }
  if (side === 'output' && slot !== '0' && /^conv(\.|$)/.test(rest)) return `${path}.upsamplers.0.${rest}`
  if (slot === '0') return join(`${path}.resnets.${layer}`, replacePrefix(rest, resnetPairs, 1))
  return slot === '1' ? `${path}.attentions.${layer}.${rest}` : undefined
}

/**
 * Layers of a down block, from the place of the first downsampler; 2, as in all published models, when there is none.
 */
export function ldmLayersPerBlock(unetKeys: Iterable<string>): number {
  let first = Infinity
  for (const key of unetKeys) {
    const match = /^input_blocks\.(\d+)\.0\.op\./.exec(key)
    if (match) first = Math.min(first, Number(match[1]))
  }
  return Number.isFinite(first) && first > 1 ? first - 1 : 2
}

/** Replaces `from` by `to` where the name is `from` or starts with `from.`; undefined when no pair fits. */
function replacePrefix(name: string, pairs: readonly [string, string][], from: 0 | 1): string | undefined {
  for (const pair of pairs) {
    if (name === pair[from] || name.startsWith(`${pair[from]}.`)) return pair[1 - from] + name.slice(pair[from].length)
  }
  return undefined
}

function join(path: string, rest: string | undefined): string | undefined {
  return rest === undefined ? undefined : `${path}.${rest}`
}
