/**
 * Which tensors a network of the Stable Diffusion 1 kind has, under the names used inside Lorikeet: those of the
 * modules in diffusers (UNet2DConditionModel, AutoencoderKL) and transformers (CLIPTextModel). Widths play no part,
 * except that a residual block has a shortcut exactly where its input and output widths differ.
 */

export interface UnetTopology {
  /** Residual blocks of a down block; an up block has one more. */
  layersPerBlock: number
  /** Transformer layers of each attention, by down block from the image inwards; 0 where the block has no attention. */
  down: number[]
  mid: number
  /** By up block, from the inside outwards. */
  up: number[]
}

export interface VaeTopology {
  /** Residual blocks of an encoder level; a decoder level has one more. */
  layersPerBlock: number
  levels: number
}

export interface ClipTopology {
  layers: number
}

export const sd15Unet: UnetTopology = { layersPerBlock: 2, down: [1, 1, 1, 0], mid: 1, up: [0, 1, 1, 1] }
export const sd15Vae: VaeTopology = { layersPerBlock: 2, levels: 4 }
export const sd15Clip: ClipTopology = { layers: 12 }

type Shortcut = (resnet: string) => boolean

const both = (module: string) => [`${module}.weight`, `${module}.bias`]
const range = (count: number) => Array.from({ length: count }, (_, i) => i)

function resnet(path: string, shortcut: Shortcut, timed: boolean): string[] {
  const modules = ['norm1', 'conv1', 'norm2', 'conv2']
  if (timed) modules.push('time_emb_proj')
  if (shortcut(path)) modules.push('conv_shortcut')
  return modules.flatMap(module => both(`${path}.${module}`))
}

function transformer(path: string, depth: number): string[] {
  const layer = (block: string) => [
    ...['norm1', 'norm2', 'norm3', 'ff.net.0.proj', 'ff.net.2'].flatMap(module => both(`${block}.${module}`)),
    ...['attn1', 'attn2'].flatMap(attention => [
      ...['to_q', 'to_k', 'to_v'].map(module => `${block}.${attention}.${module}.weight`),
      ...both(`${block}.${attention}.to_out.0`),
    ]),
  ]
  return [
    ...['norm', 'proj_in', 'proj_out'].flatMap(module => both(`${path}.${module}`)),
    ...range(depth).flatMap(i => layer(`${path}.transformer_blocks.${i}`)),
  ]
}

/**
 * Names of all tensors of a UNet.
 * @param shortcut whether the residual block at this path has a `conv_shortcut`
 */
export function unetTensorNames({ layersPerBlock, down, mid, up }: UnetTopology, shortcut: Shortcut): string[] {
  const block = (path: string, layers: number, depth: number) =>
    range(layers).flatMap(layer => [
      ...resnet(`${path}.resnets.${layer}`, shortcut, true),
      ...(depth > 0 ? transformer(`${path}.attentions.${layer}`, depth) : []),
    ])
  return [
    ...['conv_in', 'time_embedding.linear_1', 'time_embedding.linear_2', 'conv_norm_out', 'conv_out'].flatMap(both),
    ...down.flatMap((depth, i) => [
      ...block(`down_blocks.${i}`, layersPerBlock, depth),
      ...(i < down.length - 1 ? both(`down_blocks.${i}.downsamplers.0.conv`) : []),
    ]),
    ...resnet('mid_block.resnets.0', shortcut, true),
    ...transformer('mid_block.attentions.0', mid),
    ...resnet('mid_block.resnets.1', shortcut, true),
    ...up.flatMap((depth, i) => [
      ...block(`up_blocks.${i}`, layersPerBlock + 1, depth),
      ...(i < up.length - 1 ? both(`up_blocks.${i}.upsamplers.0.conv`) : []),
    ]),
  ]
}

/** Names of all tensors of an autoencoder, both halves. */
export function vaeTensorNames({ layersPerBlock, levels }: VaeTopology, shortcut: Shortcut): string[] {
  const half = (name: string, blocks: string, layers: number, resampler: string) => [
    ...['conv_in', 'conv_norm_out', 'conv_out'].flatMap(module => both(`${name}.${module}`)),
    ...range(levels).flatMap(i => [
      ...range(layers).flatMap(layer => resnet(`${name}.${blocks}.${i}.resnets.${layer}`, shortcut, false)),
      ...(i < levels - 1 ? both(`${name}.${blocks}.${i}.${resampler}.0.conv`) : []),
    ]),
    ...[0, 1].flatMap(i => resnet(`${name}.mid_block.resnets.${i}`, shortcut, false)),
    ...['group_norm', 'to_q', 'to_k', 'to_v', 'to_out.0'].flatMap(m => both(`${name}.mid_block.attentions.0.${m}`)),
  ]
  return [
    ...half('encoder', 'down_blocks', layersPerBlock, 'downsamplers'),
    ...half('decoder', 'up_blocks', layersPerBlock + 1, 'upsamplers'),
    ...both('quant_conv'),
    ...both('post_quant_conv'),
  ]
}

/** Names of all tensors of a CLIP text encoder. */
export function clipTensorNames({ layers }: ClipTopology): string[] {
  const modules = [
    ...['layer_norm1', 'layer_norm2', 'mlp.fc1', 'mlp.fc2'],
    ...['q_proj', 'k_proj', 'v_proj', 'out_proj'].map(projection => `self_attn.${projection}`),
  ]
  return [
    'text_model.embeddings.token_embedding.weight',
    'text_model.embeddings.position_embedding.weight',
    ...range(layers).flatMap(i => modules.flatMap(module => both(`text_model.encoder.layers.${i}.${module}`))),
    ...both('text_model.final_layer_norm'),
  ]
}

/** Reads the topology off tensor names; what is missing altogether counts as zero. */
export function unetTopology(names: Iterable<string>): UnetTopology {
  const list = [...names]
  const depths = (blocks: string) =>
    range(count(list, new RegExp(`^${blocks}\\.(\\d+)\\.`))).map(i =>
      count(list, new RegExp(`^${blocks}\\.${i}\\.attentions\\.\\d+\\.transformer_blocks\\.(\\d+)\\.`)),
    )
  return {
    layersPerBlock: count(list, /^down_blocks\.0\.resnets\.(\d+)\./),
    down: depths('down_blocks'),
    mid: count(list, /^mid_block\.attentions\.0\.transformer_blocks\.(\d+)\./),
    up: depths('up_blocks'),
  }
}

export function vaeTopology(names: Iterable<string>): VaeTopology {
  const list = [...names]
  const levels = Math.max(count(list, /^encoder\.down_blocks\.(\d+)\./), count(list, /^decoder\.up_blocks\.(\d+)\./))
  return { layersPerBlock: count(list, /^encoder\.down_blocks\.0\.resnets\.(\d+)\./), levels }
}

export function clipTopology(names: Iterable<string>): ClipTopology {
  return { layers: count([...names], /^text_model\.encoder\.layers\.(\d+)\./) }
}

/** No network of this kind has more blocks or layers; larger numbers in a file's names are nonsense. */
const maxIndex = 100

/** One more than the largest number that the pattern's group matches; 0 when nothing does. */
function count(names: readonly string[], pattern: RegExp): number {
  let largest = -1
  for (const name of names) {
    const match = pattern.exec(name)
    if (match) largest = Math.max(largest, Math.min(Number(match[1]), maxIndex))
  }
  return largest + 1
}
