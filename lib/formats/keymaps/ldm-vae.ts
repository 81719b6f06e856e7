/**
 * Autoencoder names of the original latent diffusion code (CompVis/latent-diffusion,
 * ldm/modules/diffusionmodules/model.py) and of the modules in diffusers. The original counts the decoder's levels from
 * the image inwards, diffusers from the inside outwards, and the original's attention is made of 1x1 convolutions, [C,
 * C, 1, 1], where diffusers has linear layers, [C, C]; the bytes are the same.
 */

const attentionPairs: [inner: string, ldm: string][] = [
  ['group_norm', 'norm'],
  ['to_q', 'q'],
  ['to_k', 'k'],
  ['to_v', 'v'],
  ['to_out.0', 'proj_out'],
]

/**
 * @param name a tensor's name as in diffusers
 * @param levels number of levels of the decoder
 * @returns the same in the original layout, without the prefix `first_stage_model.`; undefined for an unknown name
 */
export function toLdmVae(name: string, levels: number): string | undefined {
  if (/^(post_)?quant_conv\./.test(name)) return name
  const top = /^(encoder|decoder)\.(conv_in|conv_norm_out|conv_out)\.(.+)$/.exec(name)
  if (top) return `${top[1]}.${top[2] === 'conv_norm_out' ? 'norm_out' : top[2]}.${top[3]}`
  const mid = /^(encoder|decoder)\.mid_block\.resnets\.([01])\.(.+)$/.exec(name)
  if (mid) return `${mid[1]}.mid.block_${Number(mid[2]) + 1}.${toShortcut(mid[3])}`
  const attention = /^(encoder|decoder)\.mid_block\.attentions\.0\.(.+)\.(weight|bias)$/.exec(name)
  if (attention) {
    const pair = attentionPairs.find(([inner]) => inner === attention[2])
    return pair && `${attention[1]}.mid.attn_1.${pair[1]}.${attention[3]}`
  }
  const block = /^(encoder\.down|decoder\.up)_blocks\.(\d+)\.(resnets\.(\d+)|(down|up)samplers\.0)\.(.+)$/.exec(name)
  if (!block) return undefined
  const [, half, index, , layer, direction, rest] = block
  const level = half === 'encoder.down' ? Number(index) : levels - 1 - Number(index)
  const path = `${half}.${level}`
  return layer === undefined ? `${path}.${direction}sample.${rest}` : `${path}.block.${layer}.${toShortcut(rest)}`
}

/** The inverse of `toLdmVae`. */
export function fromLdmVae(key: string, levels: number): string | undefined {
  if (/^(post_)?quant_conv\./.test(key)) return key
  const top = /^(encoder|decoder)\.(conv_in|norm_out|conv_out)\.(.+)$/.exec(key)
  if (top) return `${top[1]}.${top[2] === 'norm_out' ? 'conv_norm_out' : top[2]}.${top[3]}`
  const mid = /^(encoder|decoder)\.mid\.block_([12])\.(.+)$/.exec(key)
  if (mid) return `${mid[1]}.mid_block.resnets.${Number(mid[2]) - 1}.${fromShortcut(mid[3])}`
  const attention = /^(encoder|decoder)\.mid\.attn_1\.(.+)\.(weight|bias)$/.exec(key)
  if (attention) {
    const pair = attentionPairs.find(([, ldm]) => ldm === attention[2])
    return pair && `${attention[1]}.mid_block.attentions.0.${pair[0]}.${attention[3]}`
  }
  const block = /^(encoder\.down|decoder\.up)\.(\d+)\.(block\.(\d+)|(down|up)sample)\.(.+)$/.exec(key)
  if (!block) return undefined
  const [, half, index, , layer, direction, rest] = block
  const level = half === 'encoder.down' ? Number(index) : levels - 1 - Number(index)
  const path = `${half}_blocks.${level}`
  if (layer === undefined) return `${path}.${direction}samplers.0.${rest}`
  return `${path}.resnets.${layer}.${fromShortcut(rest)}`
}

/** Levels of the decoder, from the original layout's keys (without prefix). */
export function ldmVaeLevels(vaeKeys: Iterable<string>): number {
  let levels = 0
  for (const key of vaeKeys) {
    const match = /^(?:encoder\.down|decoder\.up)\.(\d+)\./.exec(key)
    if (match) levels = Math.max(levels, Number(match[1]) + 1)
  }
  return levels
}

/** Whether this tensor is a linear layer's weight in diffusers and a 1x1 convolution's in the original layout. */
export function isVaeAttentionWeight(name: string): boolean {
  return /\.mid_block\.attentions\.0\.to_(q|k|v|out\.0)\.weight$/.test(name)
}

function toShortcut(rest: string): string {
  return rest.replace(/^conv_shortcut\./, 'nin_shortcut.')
}

function fromShortcut(rest: string): string {
  return rest.replace(/^nin_shortcut\./, 'conv_shortcut.')
}
