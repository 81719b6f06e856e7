/** The VAE of latent diffusion (diffusers models/autoencoders/autoencoder_kl.py and vae.py): encoder and decoder. */
import { add } from '../../graph/ops/add'
import { attention } from '../../graph/ops/attention'
import { cast } from '../../graph/ops/cast'
import { upsampleNearest } from '../../graph/ops/upsample_nearest'
import { columns, type Tensor } from '../../graph/tensor'
import { block, conv, groupNorm, linear } from '../layers'
import { resnetBlock } from '../resnet'
import type { Scope } from '../scope'

export interface AutoencoderKLConfig {
  imageChannels: number
  latentChannels: number
  blockOutChannels: readonly number[]
  layersPerBlock: number
  groups: number
  /** latents = sample * scalingFactor */
  scalingFactor: number
}

const eps = 1e-6
const container = 'other' as const

/** image [N, H, W, 3] in [-1, 1] -> moments [N, H/8, W/8, 2 * latentChannels]: mean, then log variance (not clamped) */
export function vaeEncoder(scope: Scope, config: AutoencoderKLConfig, image: Tensor): Tensor {
  const { blockOutChannels: channels, groups, latentChannels } = config
  const norm = { groups, eps }
  let hidden = conv(scope, cast(scope.graph, image, scope.graph.dtype), {
    path: 'encoder.conv_in',
    outputs: channels[0] ?? 0,
    container,
  })
  channels.forEach((outputs, level) => {
    const path = `encoder.down_blocks.${level}`
    for (let i = 0; i < config.layersPerBlock; i++)
      hidden = resnetBlock(scope, hidden, { path: `${path}.resnets.${i}`, outputs, ...norm })
    if (level === channels.length - 1) return
    // Zeros only below and to the right, as the original's F.pad(x, (0, 1, 0, 1)).
    hidden = block(scope, `${path}.downsamplers.0.conv`, () =>
      conv(scope, hidden, { path: `${path}.downsamplers.0.conv`, outputs, stride: 2, padding: [0, 1, 0, 1], container }),
    )
  })
  hidden = middle(scope, hidden, 'encoder.mid_block', groups)
  const normed = groupNorm(scope, hidden, 'encoder.conv_norm_out', { ...norm, activation: 'silu' })
  const moments = conv(scope, normed, { path: 'encoder.conv_out', outputs: latentChannels * 2, container })
  return conv(scope, moments, { path: 'quant_conv', outputs: latentChannels * 2, kernel: 1, container })
}

/** latents / scalingFactor, [N, h, w, latentChannels] -> image [N, 8h, 8w, 3], not clamped */
export function vaeDecoder(scope: Scope, config: AutoencoderKLConfig, latents: Tensor): Tensor {
  const { graph } = scope
  const { groups, latentChannels } = config
  const channels = [...config.blockOutChannels].reverse()
  const norm = { groups, eps }
  const unquantised = conv(scope, cast(graph, latents, graph.dtype), {
    path: 'post_quant_conv',
    outputs: latentChannels,
    kernel: 1,
    container,
  })
  let hidden = conv(scope, unquantised, { path: 'decoder.conv_in', outputs: channels[0] ?? 0, container })
  hidden = middle(scope, hidden, 'decoder.mid_block', groups)
  channels.forEach((outputs, level) => {
    const path = `decoder.up_blocks.${level}`
    for (let i = 0; i <= config.layersPerBlock; i++)
      hidden = resnetBlock(scope, hidden, { path: `${path}.resnets.${i}`, outputs, ...norm })
    if (level === channels.length - 1) return
    hidden = block(scope, `${path}.upsamplers.0.conv`, () => {
      const [, height = 0, width = 0] = hidden.shape
      const larger = upsampleNearest(graph, hidden, [height * 2, width * 2])
      return conv(scope, larger, { path: `${path}.upsamplers.0.conv`, outputs, container })
    })
  })
  const normed = groupNorm(scope, hidden, 'decoder.conv_norm_out', { ...norm, activation: 'silu' })
  return conv(scope, normed, { path: 'decoder.conv_out', outputs: config.imageChannels, container })
}

/** Residual block, single-head attention over all pixels, residual block. */
function middle(scope: Scope, x: Tensor, path: string, groups: number): Tensor {
  const outputs = columns(x)
  const first = resnetBlock(scope, x, { path: `${path}.resnets.0`, outputs, groups, eps })
  const attended = block(scope, `${path}.attentions.0`, () => {
    const at = `${path}.attentions.0`
    const normed = groupNorm(scope, first, `${at}.group_norm`, { groups, eps })
    const names = ['to_q', 'to_k', 'to_v'].map((name) => `${at}.${name}`)
    const qkv = linear(scope, normed, { path: names, outputs, bias: true, container })
    const attention1 = attention(scope.graph, [qkv], { heads: 1 }, at)
    return add(scope.graph, first, linear(scope, attention1, { path: `${at}.to_out.0`, outputs, bias: true, container }), at)
  })
  return resnetBlock(scope, attended, { path: `${path}.resnets.1`, outputs, groups, eps })
}
