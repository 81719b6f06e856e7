/**
 * Recognising base models that are not Stable Diffusion 1.x, by their keys, shapes or pipeline class, and saying so.
 */
import * as fs from 'node:fs'
import * as path from 'node:path'
import { LorikeetError } from '../base/errors'
import type { Checkpoint } from './checkpoint'
import type { SafetensorsFile } from './safetensors'

const supported = 'Stable Diffusion 1.x for text to image'

function refuse(where: string, found: string, fix = 'Give a Stable Diffusion 1.x model'): never {
  throw new LorikeetError('input', `this is ${found}, which is not supported here`, { where, expected: supported, fix })
}

const pipelines: [pattern: RegExp, found: string][] = [
  [/Inpaint/, 'an inpainting model'],
  [/InstructPix2Pix/, 'an InstructPix2Pix model'],
  [/StableDiffusionXL|SDXL/, 'a Stable Diffusion XL model'],
  [/StableDiffusion3/, 'a Stable Diffusion 3 model'],
  [/Flux/, 'a Flux model'],
  [/Upscale/, 'an upscaling model'],
]

/**
 * @param index content of model_index.json, where there is one
 * @throws LorikeetError (input) when the folder says that it is another kind of model
 */
export function refuseOtherClass(folder: string, index: Record<string, unknown> | undefined): void {
  const has = (name: string) => fs.existsSync(path.join(folder, name))
  const name = typeof index?._class_name === 'string' ? index._class_name : undefined
  const found = name && pipelines.find(([pattern]) => pattern.test(name))?.[1]
  if (found) refuse(folder, `${found} (${name})`)
  if (has('text_encoder_2') && has('unet')) refuse(folder, 'a Stable Diffusion XL model (it has a second text encoder)')
  if (has('transformer') && !has('unet')) refuse(folder, 'a model with a transformer, such as Flux or SD3')
  if (!index && !has('unet')) {
    throw new LorikeetError('input', 'this is not a model folder', {
      where: folder,
      expected: 'model_index.json and the folders unet, vae and text_encoder',
      fix: 'Give the folder of the model itself, or a single .safetensors file',
    })
  }
}

const loraFile = 'a LoRA file, not a base model'

const keyPatterns: [pattern: RegExp, found: string][] = [
  [/^(lora_|lycoris_)|\.lora_(A|B|up|down)\.|\.(hada_w1_a|lokr_w1)$/, loraFile],
  [/(^|\.)(double_blocks|single_blocks)\.\d+\./, 'a Flux model'],
  [/(^|\.)joint_blocks\.\d+\./, 'a Stable Diffusion 3 model'],
  [/^conditioner\.embedders\.1\./, 'a Stable Diffusion XL model'],
  [/^conditioner\.embedders\.0\.model\./, 'a Stable Diffusion XL refiner'],
  [/^model\.diffusion_model\.label_emb\./, 'a Stable Diffusion XL model'],
  [/^cond_stage_model\.model\./, 'a Stable Diffusion 2.x model'],
  [/^(control_model|input_hint_block|controlnet_cond_embedding)\./, 'a ControlNet'],
  [/^(emb_params|string_to_param|clip_g|clip_l)$/, 'a textual inversion embedding'],
]

/** @throws LorikeetError (input) when a single file's keys show another kind of model, or a part of one */
export function refuseOtherKeys(file: SafetensorsFile): void {
  for (const key of file.tensors.keys()) {
    const found = keyPatterns.find(([pattern]) => pattern.test(key))?.[1]
    if (found === loraFile) refuse(file.path, found, 'Give the base model here, and the LoRA by its own option')
    if (found) refuse(file.path, found)
  }
  const has = (prefix: string) => [...file.tensors.keys()].some(key => key.startsWith(prefix))
  if (has('model.diffusion_model.') || has('first_stage_model.') || has('cond_stage_model.')) return
  const part =
    has('down_blocks.') || has('input_blocks.') || has('diffusion_model.')
      ? 'a UNet alone'
      : has('encoder.') || has('decoder.')
        ? 'an autoencoder (VAE) alone'
        : has('text_model.')
          ? 'a text encoder alone'
          : undefined
  const received = part ?? `keys such as ${[...file.tensors.keys()].slice(0, 2).join(', ') || 'none at all'}`
  throw new LorikeetError('input', 'this is not a whole checkpoint', {
    where: file.path,
    expected: 'model.diffusion_model.*, first_stage_model.* and cond_stage_model.*',
    received,
    fix: 'Give a full single-file checkpoint, or the diffusers folder with unet, vae and text_encoder',
  })
}

/** @throws LorikeetError (input) when the networks' shapes show another family or task */
export function refuseOtherNetworks({ path: where, components }: Checkpoint): void {
  const unet = components.unet.tensors
  const inputs = unet.get('conv_in.weight')?.shape[1]
  if (inputs === 9) refuse(where, 'an inpainting model (9 input channels)')
  if (inputs === 8) refuse(where, 'an InstructPix2Pix or upscaling model (8 input channels)')
  if (inputs === 5 || inputs === 7) refuse(where, `a depth or upscaling model (${inputs} input channels)`)
  if (unet.has('add_embedding.linear_1.weight')) refuse(where, 'a Stable Diffusion XL model')
  const context = unet.get('down_blocks.0.attentions.0.transformer_blocks.0.attn2.to_k.weight')?.shape[1]
  if (context === 1024) refuse(where, 'a Stable Diffusion 2.x model (text width 1024)')
  const width = components.textEncoder.tensors.get('text_model.final_layer_norm.weight')?.shape[0]
  if (context !== undefined && width !== undefined && context !== width) {
    throw new LorikeetError('input', 'the UNet and the text encoder do not belong together', {
      where,
      expected: `a text encoder of width ${context}, which the UNet reads`,
      received: `${width}`,
      fix: 'Give the text encoder that the UNet was trained with',
    })
  }
}
