/** Which base model a LoRA file was trained for, from its keys, its shapes and its metadata. */
import type { TensorInfo } from './safetensors'

export type LoraFamily = 'sd15' | 'sd2' | 'sdxl' | 'sd3' | 'flux' | 'other'

export const familyTitles: Record<LoraFamily, string> = {
  sd15: 'Stable Diffusion 1.x',
  sd2: 'Stable Diffusion 2.x',
  sdxl: 'Stable Diffusion XL',
  sd3: 'Stable Diffusion 3',
  flux: 'Flux',
  other: 'another kind of model',
}

export interface FamilyGuess {
  family: LoraFamily
  /** What shows it, for messages. */
  because: string
}

/** What keys prove. Written with underscores; dots in keys are turned into them first. */
const keyProofs: [pattern: RegExp, family: LoraFamily][] = [
  [/double_blocks_\d+_|single_blocks_\d+_|single_transformer_blocks_\d+_|^lora_te3_/, 'flux'],
  [/joint_blocks_\d+_/, 'sd3'],
  [/^(lora_)?transformer_transformer_blocks_/, 'other'], // Flux and Stable Diffusion 3 in diffusers' names
  [/^lora_te2_|^text_encoder_2_|clip_g_/, 'sdxl'],
  // Only SDXL stacks several transformer layers in one attention, and has attention from its second level on.
  [/(input_blocks|output_blocks|down_blocks|up_blocks)_\d.*_transformer_blocks_[1-9]/, 'sdxl'],
  [/middle_block_1_transformer_blocks_[1-9]|mid_block_attentions_0_transformer_blocks_[1-9]/, 'sdxl'],
  [/(unet|diffusion_model|lycoris|^)_?(transformer_)?blocks_\d+_(self_attn|cross_attn|attn)_/, 'other'],
]

/** Width of the text states, which the cross attention's keys and values read. */
const contextWidths: Record<number, LoraFamily> = { 768: 'sd15', 1024: 'sd2', 2048: 'sdxl' }

/**
 * Keys prove more than shapes, shapes more than metadata, which tools copy along unchanged.
 * @returns undefined when nothing tells
 */
export function detectLoraFamily(
  tensors: Iterable<TensorInfo>,
  metadata: Readonly<Record<string, string>>,
): FamilyGuess | undefined {
  let byShape: FamilyGuess | undefined
  for (const { name, shape } of tensors) {
    const joined = name.replaceAll('.', '_')
    const proof = keyProofs.find(([pattern]) => pattern.test(joined))
    if (proof) return { family: proof[1], because: `it holds ${name}` }
    if (/attn2_(processor_)?to_[kv]_.*(down|lora_A)/.test(joined)) {
      const family = contextWidths[shape[1]]
      if (family) byShape ??= { family, because: `its text width is ${shape[1]}` }
    }
  }
  return byShape ?? familyOfMetadata(metadata)
}

/** Reads what kohya's tools (`sd_v1`, `sdxl_base_v1-0`, ...), ai-toolkit (`sd_1.5`, ...) and modelspec say. */
export function familyOfMetadata(metadata: Readonly<Record<string, string>>): FamilyGuess | undefined {
  const version = metadata.ss_base_model_version
  const architecture = metadata['modelspec.architecture']
  const patterns: [RegExp, LoraFamily][] = [
    [/^sd_?(v1|1\.|15)|^sd1|^stable-diffusion-v1/i, 'sd15'],
    [/^sd_?(v2|2\.)|^sd2|^stable-diffusion-v2/i, 'sd2'],
    [/^sdxl|^stable-diffusion-xl|^pony|^illustrious/i, 'sdxl'],
    [/^sd_?3|^stable-diffusion-3/i, 'sd3'],
    [/^flux|^chroma/i, 'flux'],
  ]
  for (const [key, value] of [['ss_base_model_version', version], ['modelspec.architecture', architecture]]) {
    const found = value && patterns.find(([pattern]) => pattern.test(value))
    if (found) return { family: found[1], because: `its metadata says ${key} = ${value}` }
  }
  return undefined
}
