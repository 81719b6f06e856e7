/**
 * Stable Diffusion 1.x: which networks it has, and how their sizes are read off a checkpoint. Sizes come from the tensors;
 * what tensors cannot show (heads, norm groups, scaling) from the model's configuration files or metadata, else the
 * family's constants (runwayml/stable-diffusion-v1-5, the config.json files).
 */
import { LorikeetError } from '../../base/errors'
import type { Checkpoint, Config, WeightLocation } from '../../formats/checkpoint'
import { clipTopology, unetTopology, vaeTopology } from '../../formats/keymaps/topology'
import { activationKinds, type ActivationKind } from '../../graph/ops/activation'
import type { AutoencoderKLConfig } from '../networks/autoencoder-kl'
import type { ClipTextConfig } from '../networks/clip-text'
import type { UNet2DConditionConfig } from '../networks/unet-2d-condition'

export interface StableDiffusionConfig {
  unet: UNet2DConditionConfig
  vae: AutoencoderKLConfig
  textEncoder: ClipTextConfig
}

/** Pixels per latent along each side. */
export const latentDownscale = 8

/** The real sizes, for `random:sd15` and for what a single file does not say. */
export const sd15Config: StableDiffusionConfig = {
  unet: {
    inChannels: 4,
    outChannels: 4,
    blockOutChannels: [320, 640, 1280, 1280],
    transformerDepth: [1, 1, 1, 0],
    layersPerBlock: 2,
    heads: [8, 8, 8, 8],
    crossAttentionDim: 768,
    groups: 32,
    eps: 1e-5,
    linearProjection: false,
  },
  vae: {
    imageChannels: 3,
    latentChannels: 4,
    blockOutChannels: [128, 256, 512, 512],
    layersPerBlock: 2,
    groups: 32,
    scalingFactor: 0.18215,
  },
  textEncoder: {
    vocabulary: 49408,
    positions: 77,
    width: 768,
    layers: 12,
    heads: 12,
    feedForward: 3072,
    activation: 'quick_gelu',
  },
}

/**
 * `random:demo`: the same networks, small enough to be trained from nothing on a CPU in hours, at 128x128 pixels. 12 million
 * weights, a quarter of them the table of the real CLIP tokenizer's words.
 */
export const demoConfig: StableDiffusionConfig = {
  unet: {
    ...sd15Config.unet,
    blockOutChannels: [96, 128, 128],
    transformerDepth: [1, 1, 0],
    layersPerBlock: 1,
    heads: [4, 4, 4],
    crossAttentionDim: 64,
  },
  vae: { ...sd15Config.vae, blockOutChannels: [16, 32, 64, 96], layersPerBlock: 1, groups: 8 },
  textEncoder: { ...sd15Config.textEncoder, width: 64, layers: 3, heads: 2, feedForward: 256 },
}

/** @throws LorikeetError (input) when sizes contradict each other, naming the tensor or key */
export function readStableDiffusionConfig(checkpoint: Checkpoint): StableDiffusionConfig {
  const { components, configs } = checkpoint
  return {
    unet: readUNet(checkpoint.path, components.unet.tensors, configs.unet ?? {}),
    vae: readVae(checkpoint.path, components.vae.tensors, configs.vae ?? {}),
    textEncoder: readClip(checkpoint.path, components.textEncoder.tensors, configs.textEncoder ?? {}),
  }
}

type Tensors = ReadonlyMap<string, WeightLocation>

function readUNet(where: string, tensors: Tensors, config: Config): UNet2DConditionConfig {
  const { layersPerBlock, down } = unetTopology(tensors.keys())
  const blockOutChannels = down.map((_, level) => extent(where, tensors, `down_blocks.${level}.resnets.0.conv1.weight`, 0))
  const crossAttention = [...tensors.keys()].find((name) => name.endsWith('.attn2.to_k.weight')) ?? 'attn2.to_k.weight'
  // The key is named after the head's size but means the number of heads in this family (diffusers issue 2011).
  const headsKey = config.num_attention_heads ?? config.attention_head_dim ?? sd15Config.unet.heads[0]
  const heads = Array.isArray(headsKey) ? headsKey.map(Number) : down.map(() => Number(headsKey))
  const unet: UNet2DConditionConfig = {
    inChannels: extent(where, tensors, 'conv_in.weight', 1),
    outChannels: extent(where, tensors, 'conv_out.weight', 0),
    blockOutChannels,
    transformerDepth: down,
    layersPerBlock,
    heads,
    crossAttentionDim: extent(where, tensors, crossAttention, 1),
    groups: number(where, config, 'norm_num_groups', sd15Config.unet.groups),
    eps: number(where, config, 'norm_eps', sd15Config.unet.eps),
    linearProjection: config.use_linear_projection === true,
  }
  blockOutChannels.forEach((channels, level) => {
    divides(where, 'norm_num_groups', unet.groups, channels)
    if ((down[level] ?? 0) > 0) divides(where, 'attention_head_dim (the number of heads)', heads[level] ?? 0, channels)
  })
  return unet
}

function readVae(where: string, tensors: Tensors, config: Config): AutoencoderKLConfig {
  const { layersPerBlock, levels } = vaeTopology(tensors.keys())
  const vae: AutoencoderKLConfig = {
    imageChannels: extent(where, tensors, 'encoder.conv_in.weight', 1),
    latentChannels: extent(where, tensors, 'post_quant_conv.weight', 0),
    blockOutChannels: Array.from({ length: levels }, (_, level) =>
      extent(where, tensors, `encoder.down_blocks.${level}.resnets.0.conv1.weight`, 0),
    ),
    layersPerBlock,
    groups: number(where, config, 'norm_num_groups', sd15Config.vae.groups),
    scalingFactor: number(where, config, 'scaling_factor', sd15Config.vae.scalingFactor),
  }
  for (const channels of vae.blockOutChannels) divides(where, 'norm_num_groups of the VAE', vae.groups, channels)
  return vae
}

function readClip(where: string, tensors: Tensors, config: Config): ClipTextConfig {
  const table = 'text_model.embeddings.token_embedding.weight'
  const width = extent(where, tensors, table, 1)
  const kind = config.hidden_act ?? sd15Config.textEncoder.activation
  if (!activationKinds.some((known) => known === kind))
    throw new LorikeetError('input', `the text encoder's activation ${String(kind)} is not known`, {
      where,
      expected: activationKinds.join(', '),
    })
  const clip: ClipTextConfig = {
    vocabulary: extent(where, tensors, table, 0),
    positions: extent(where, tensors, 'text_model.embeddings.position_embedding.weight', 0),
    width,
    layers: clipTopology(tensors.keys()).layers,
    heads: number(where, config, 'num_attention_heads', Math.max(1, width / 64)),
    feedForward: extent(where, tensors, 'text_model.encoder.layers.0.mlp.fc1.weight', 0),
    activation: kind as ActivationKind,
  }
  divides(where, 'num_attention_heads of the text encoder', clip.heads, width)
  return clip
}

function extent(where: string, tensors: Tensors, name: string, dimension: number): number {
  const size = tensors.get(name)?.shape[dimension]
  if (size === undefined) throw new LorikeetError('input', `the tensor ${name} is missing or has too few dimensions`, { where })
  return size
}

function number(where: string, config: Config, key: string, otherwise: number): number {
  const value = config[key] ?? otherwise
  if (typeof value === 'number' && Number.isFinite(value) && value > 0) return value
  throw new LorikeetError('input', `the configuration entry ${key} is wrong`, {
    where,
    expected: 'a positive number',
    received: JSON.stringify(value),
  })
}

function divides(where: string, what: string, count: number, channels: number): void {
  if (Number.isInteger(count) && count > 0 && channels % count === 0) return
  throw new LorikeetError('input', `${channels} channels do not split by ${what}`, {
    where,
    received: String(count),
    fix: 'Give the model as a diffusers folder with its config.json files: a single file does not tell these numbers',
  })
}
