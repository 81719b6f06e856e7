/**
 * The denoising UNet of Stable Diffusion 1.x (diffusers models/unets/unet_2d_condition.py and unet_2d_blocks.py;
 * Rombach et al. 2021, arXiv 2112.10752).
 */
import { activation } from '../../graph/ops/activation'
import { cast } from '../../graph/ops/cast'
import { concat } from '../../graph/ops/concat'
import { timestepEmbedding } from '../../graph/ops/timestep_embedding'
import { upsampleNearest } from '../../graph/ops/upsample_nearest'
import type { Tensor } from '../../graph/tensor'
import { block, conv, groupNorm, linear } from '../layers'
import { resnetBlock } from '../resnet'
import type { Scope } from '../scope'
import { transformer2d } from '../transformer-2d'

export interface UNet2DConditionConfig {
  inChannels: number
  outChannels: number
  /** Channels of each level, from the full resolution down. */
  blockOutChannels: readonly number[]
  /** Basic transformer blocks after each resnet of a level; 0 where a level has no attention. */
  transformerDepth: readonly number[]
  layersPerBlock: number
  /** Attention heads of each level. */
  heads: readonly number[]
  /** Width of the text states. */
  crossAttentionDim: number
  groups: number
  eps: number
  linearProjection: boolean
}

export interface UNetInputs {
  /** [N, H, W, inChannels] */
  latents: Tensor
  /** [N] f32 */
  timesteps: Tensor
  /** [N, L, crossAttentionDim] */
  context: Tensor
}

/** Adds the network; returns its raw prediction, [N, H, W, outChannels]. */
export function unet2dCondition(scope: Scope, config: UNet2DConditionConfig, inputs: UNetInputs): Tensor {
  const { graph } = scope
  const { blockOutChannels: channels, layersPerBlock, groups, eps } = config
  const levels = channels.length
  const time = timeEmbedding(scope, config, inputs.timesteps)
  const context = cast(graph, inputs.context, graph.dtype)
  const norm = { groups, eps, time }
  const attend = (x: Tensor, path: string, level: number): Tensor => {
    const depth = config.transformerDepth[level] ?? 0
    if (depth === 0) return x
    const { linearProjection } = config
    return transformer2d(scope, x, context, { path, heads: config.heads[level] ?? 1, groups, depth, linearProjection })
  }

  let hidden = block(scope, 'conv_in', () =>
    conv(scope, cast(graph, inputs.latents, graph.dtype), { path: 'conv_in', outputs: channels[0] ?? 0, container: 'other' }),
  )
  const skips = [hidden]
  channels.forEach((outputs, level) => {
    const path = `down_blocks.${level}`
    for (let i = 0; i < layersPerBlock; i++) {
      hidden = resnetBlock(scope, hidden, { path: `${path}.resnets.${i}`, outputs, ...norm })
      hidden = attend(hidden, `${path}.attentions.${i}`, level)
      skips.push(hidden)
    }
    if (level === levels - 1) return
    hidden = downsample(scope, hidden, `${path}.downsamplers.0.conv`)
    skips.push(hidden)
  })

  const deepest = levels - 1
  hidden = resnetBlock(scope, hidden, { path: 'mid_block.resnets.0', outputs: channels[deepest] ?? 0, ...norm })
  hidden = transformer2d(scope, hidden, context, {
    path: 'mid_block.attentions.0',
    heads: config.heads[deepest] ?? 1,
    groups,
    depth: Math.max(1, ...config.transformerDepth.slice(-2)),
    linearProjection: config.linearProjection,
  })
  hidden = resnetBlock(scope, hidden, { path: 'mid_block.resnets.1', outputs: channels[deepest] ?? 0, ...norm })

  for (let up = 0; up < levels; up++) {
    const level = deepest - up
    const path = `up_blocks.${up}`
    for (let i = 0; i <= layersPerBlock; i++) {
      const [below, skip, resnet] = [hidden, skips.pop()!, `${path}.resnets.${i}`]
      // Joined inside the block: with checkpointing the two halves are kept anyway, the copy is not.
      hidden = block(scope, resnet, () => {
        const joined = concat(graph, below, skip, `${path}.skip.${i}`)
        return resnetBlock(scope, joined, { path: resnet, outputs: channels[level] ?? 0, ...norm })
      })
      hidden = attend(hidden, `${path}.attentions.${i}`, level)
    }
    if (level > 0) hidden = upsample(scope, hidden, skips.at(-1)!, `${path}.upsamplers.0.conv`)
  }

  return block(scope, 'conv_out', () => {
    const normed = groupNorm(scope, hidden, 'conv_norm_out', { groups, eps, activation: 'silu' })
    return conv(scope, normed, { path: 'conv_out', outputs: config.outChannels, container: 'other' })
  })
}

/** SiLU of the time embedding, which is all that the residual blocks use: [N] -> [N, 4 * channels[0]] */
function timeEmbedding(scope: Scope, config: UNet2DConditionConfig, timesteps: Tensor): Tensor {
  const { graph } = scope
  const channels = config.blockOutChannels[0] ?? 0
  const common = { outputs: channels * 4, bias: true, container: 'other' as const }
  const first = linear(scope, timestepEmbedding(graph, timesteps, channels), { ...common, path: 'time_embedding.linear_1' })
  const second = linear(scope, activation(graph, first, 'silu'), { ...common, path: 'time_embedding.linear_2' })
  return activation(graph, second, 'silu')
}

function downsample(scope: Scope, x: Tensor, path: string): Tensor {
  return block(scope, path, () => conv(scope, x, { path, outputs: x.shape[3] ?? 0, stride: 2, padding: [1, 1, 1, 1], container: 'sampler' }))
}

/** To the size of the skip connection that is joined next, which matters when the latents are not a multiple of 8. */
function upsample(scope: Scope, x: Tensor, skip: Tensor, path: string): Tensor {
  return block(scope, path, () => {
    const larger = upsampleNearest(scope.graph, x, [skip.shape[1] ?? 0, skip.shape[2] ?? 0])
    return conv(scope, larger, { path, outputs: x.shape[3] ?? 0, container: 'sampler' })
  })
}
