/**
 * Finding out what a base model is: a diffusers folder or a single file in the original layout. Only headers and
 * configuration files are read; the tensors come as file, position and length.
 */
import * as fs from 'node:fs'
import * as path from 'node:path'
import { LorikeetError } from '../base/errors'
import { refuseOtherClass, refuseOtherKeys, refuseOtherNetworks } from './base-families'
import { checkComplete } from './completeness'
import { findWeights, readConfig } from './diffusers-folder'
import type { Dtype } from './dtypes'
import { fromDiffusers, innerShape } from './keymaps/diffusers'
import { type Component, mapLdmKeys } from './keymaps/ldm'
import { openSafetensors, type SafetensorsFile, type TensorInfo } from './safetensors'

export type { Component } from './keymaps/ldm'

/** Where a weight lies. The shape is the one used inside; a file may store a linear layer as a 1x1 convolution. */
export interface WeightLocation {
  file: string
  dtype: Dtype
  shape: number[]
  /** Absolute position in the file. */
  offset: number
  bytes: number
}

export interface CheckpointComponent {
  files: string[]
  /** By inner name, as the modules are called in diffusers and transformers. */
  tensors: Map<string, WeightLocation>
}

export type PredictionType = 'epsilon' | 'v_prediction'

export type Config = Record<string, unknown>

/**
 * The configuration files as they are, where there are any; single files written by Lorikeet carry them as metadata.
 */
export interface CheckpointConfigs {
  unet?: Config
  vae?: Config
  textEncoder?: Config
  scheduler?: Config
}

export interface Checkpoint {
  path: string
  family: 'sd15'
  layout: 'diffusers' | 'ldm'
  components: Record<Component, CheckpointComponent>
  /** Undefined when the model does not say; diffusers then takes epsilon. */
  predictionType: PredictionType | undefined
  /** Whether the noise schedule is rescaled so that the last step is pure noise. */
  zeroTerminalSnr: boolean
  configs: CheckpointConfigs
  /** Of a single file; empty for a folder. */
  metadata: Record<string, string>
  /** Folder with the tokenizer's files, where the model brings one. */
  tokenizer?: string
  /** Keys of the files that are no weights of the three networks. */
  ignored: string[]
}

/** Metadata key under which a single file carries the configurations, as JSON of `CheckpointConfigs`. */
export const configMetadataKey = 'lorikeet.configs'

/**
 * @param location a folder in the layout of diffusers, or a safetensors file in the original layout
 * @throws LorikeetError (input) for anything but a complete model of a supported family, naming what was found
 */
export function detectCheckpoint(location: string): Checkpoint {
  const stats = fs.statSync(location, { throwIfNoEntry: false })
  if (!stats) {
    const fix = 'Correct the path; expected a .safetensors file or a folder in the layout of diffusers'
    throw new LorikeetError('input', 'there is no such file or folder', { where: location, fix })
  }
  const checkpoint = stats.isDirectory() ? fromFolder(location) : fromSingleFile(location)
  refuseOtherNetworks(checkpoint)
  checkComplete(checkpoint)
  return checkpoint
}

const folders = { unet: 'unet', vae: 'vae', textEncoder: 'text_encoder' } as const

function fromFolder(folder: string): Checkpoint {
  refuseOtherClass(folder, readConfig(path.join(folder, 'model_index.json')))
  const components = emptyComponents()
  const configs: CheckpointConfigs = { scheduler: readConfig(path.join(folder, 'scheduler', 'scheduler_config.json')) }
  const ignored: string[] = []
  for (const component of ['unet', 'vae', 'textEncoder'] as const) {
    const part = path.join(folder, folders[component])
    configs[component] = readConfig(path.join(part, 'config.json'))
    for (const { file, keys } of findWeights(part)) {
      const opened = openSafetensors(file)
      components[component].files.push(file)
      for (const key of keys ?? opened.tensors.keys()) {
        const name = fromDiffusers(component, key)
        if (name === undefined) ignored.push(key)
        else place(components[component], component, name, opened, tensorOf(opened, key))
      }
    }
  }
  const tokenizer = path.join(folder, 'tokenizer')
  return {
    path: folder,
    family: 'sd15',
    layout: 'diffusers',
    components,
    ...objective(folder, configs.scheduler),
    configs,
    metadata: {},
    tokenizer: fs.existsSync(tokenizer) ? tokenizer : undefined,
    ignored,
  }
}

function fromSingleFile(file: string): Checkpoint {
  const opened = openSafetensors(file)
  refuseOtherKeys(opened)
  const { names, ignored } = mapLdmKeys(opened.tensors.keys())
  const components = emptyComponents()
  for (const [key, { component, name }] of names) {
    place(components[component], component, name, opened, tensorOf(opened, key))
  }
  for (const component of Object.values(components)) component.files.push(file)
  const configs = configsFromMetadata(file, opened.metadata)
  const stated = objective(file, configs.scheduler ?? modelspec(opened.metadata))
  return {
    path: file,
    family: 'sd15',
    layout: 'ldm',
    components,
    // Models for ComfyUI and Forge say so by empty tensors of these names.
    predictionType: opened.tensors.has('v_pred') ? 'v_prediction' : stated.predictionType,
    zeroTerminalSnr: opened.tensors.has('ztsnr') || stated.zeroTerminalSnr,
    configs,
    metadata: opened.metadata,
    ignored,
  }
}

function emptyComponents(): Record<Component, CheckpointComponent> {
  const empty = (): CheckpointComponent => ({ files: [], tensors: new Map() })
  return { unet: empty(), vae: empty(), textEncoder: empty() }
}

function tensorOf(file: SafetensorsFile, key: string): TensorInfo {
  const tensor = file.tensors.get(key)
  if (tensor) return tensor
  const fix = 'The download is incomplete: fetch the folder again'
  throw new LorikeetError('input', `the index names the tensor "${key}", which is not there`, { where: file.path, fix })
}

function place(
  target: CheckpointComponent,
  component: Component,
  name: string,
  file: SafetensorsFile,
  { dtype, shape, offset, bytes }: TensorInfo,
): void {
  if (target.tensors.has(name)) {
    throw new LorikeetError('input', `there are two tensors for ${component} ${name}`, { where: file.path })
  }
  target.tensors.set(name, { file: file.path, dtype, shape: innerShape(component, name, shape), offset, bytes })
}

function objective(where: string, scheduler: Config = {}): Pick<Checkpoint, 'predictionType' | 'zeroTerminalSnr'> {
  const zeroTerminalSnr = scheduler.rescale_betas_zero_snr === true
  switch (scheduler.prediction_type) {
    case undefined:
      return { predictionType: undefined, zeroTerminalSnr }
    case 'epsilon':
      return { predictionType: 'epsilon', zeroTerminalSnr }
    case 'v':
    case 'v_prediction':
      return { predictionType: 'v_prediction', zeroTerminalSnr }
    default:
      throw new LorikeetError('input', 'the model predicts something that is not supported', {
        where,
        expected: 'prediction_type epsilon or v_prediction',
        received: JSON.stringify(scheduler.prediction_type),
      })
  }
}

function modelspec(metadata: Record<string, string>): Config {
  const type = metadata['modelspec.prediction_type']
  return type ? { prediction_type: type } : {}
}

function configsFromMetadata(file: string, metadata: Record<string, string>): CheckpointConfigs {
  const text = metadata[configMetadataKey]
  if (text === undefined) return {}
  try {
    const configs: unknown = JSON.parse(text)
    if (typeof configs === 'object' && configs !== null) return configs as CheckpointConfigs
  } catch {
    // Said below, together with JSON of the wrong kind.
  }
  throw new LorikeetError('input', `the metadata entry ${configMetadataKey} is damaged`, {
    where: file,
    fix: 'Write the file again with: lorikeet convert',
  })
}
