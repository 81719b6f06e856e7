/**
 * Changing the layout of a base model: a single-file checkpoint in the original layout to a diffusers folder and back,
 * or to another dtype. Weights go from file to file one at a time, so memory stays at the size of the largest.
 * They keep their bits unless a dtype is asked for.
 */
import * as fs from 'node:fs'
import * as path from 'node:path'
import { isDeepStrictEqual } from 'node:util'
import { writeFileAtomic } from '../base/atomic-file'
import { LorikeetError } from '../base/errors'
import { configMetadataKey, type Checkpoint, type Config } from '../formats/checkpoint'
import type { Dtype, FloatDtype } from '../formats/dtypes'
import { openSafetensors, writeSafetensors } from '../formats/safetensors'
import { groupKeys } from '../formats/lora-roles'
import { openBaseModel, type BaseModel } from '../pipeline/base-model'
import { configText, diffusersConfigs, modelIndex } from './convert-configs'
import { checkTarget, sizeOf, writeTarget } from './convert-target'
import {
  checkDtypes,
  components,
  folderTensors,
  singleFileTensors,
  weightReader,
  type ReadWeight,
} from './convert-tensors'
import { isClipTokenizer, writeTokenizer } from './convert-tokenizer'

export type BaseLayout = 'diffusers' | 'single-file'

export interface ConvertOptions {
  to: BaseLayout
  /** The folder, or the file, whose name ends in .safetensors. Its parent folder is there. */
  out: string
  /** What the weights are stored as; undefined keeps each as it is. */
  dtype?: 'f32' | 'f16' | 'bf16'
  /** Replace what is there: a file, or a folder that holds nothing but a converted model. */
  overwrite?: boolean
  onProgress?: (progress: ConvertProgress) => void
}

/** Bytes of weights read. */
export interface ConvertProgress {
  done: number
  total: number
}

export interface Converted {
  input: string
  from: BaseLayout
  to: BaseLayout
  out: string
  /** Tensors of the three networks. */
  tensors: number
  /** Of all files written. */
  bytes: number
  dtypes: Dtype[]
  /** Keys of the input that are no weights of the three networks, such as averaged weights; constants apart. */
  leftOut: string[]
  /** What a person should know about the result. */
  notes: string[]
}

const folders = { unet: 'unet', vae: 'vae', textEncoder: 'text_encoder' } as const
const layouts = { diffusers: 'diffusers', ldm: 'single-file' } as const

/**
 * Converts a Stable Diffusion 1.x base model. Blocks until the result is written, synced, read back and has its name.
 * @param location a diffusers folder or a single-file checkpoint
 * @throws LorikeetError (input) for anything but a complete model of a supported family, a LoRA included; (usage) when
 *   the output is taken, is the input or lies inside it; (failed) when the system refuses, such as on a full disk:
 *   nothing is left behind then
 */
export function convertBase(location: string, options: ConvertOptions): Converted {
  refuseLora(location)
  const base = openBaseModel(location)
  const { checkpoint } = base
  if (!checkpoint) {
    const fix = 'Give a diffusers folder or a .safetensors file'
    throw new LorikeetError('usage', 'random weights lie in no file that could be converted', { where: location, fix })
  }
  const { out, to, dtype, overwrite = false, onProgress } = options
  const kind = to === 'diffusers' ? 'folder' : 'file'
  const inputFiles = components.flatMap((component) => checkpoint.components[component].files)
  const target = { out, kind, overwrite, input: checkpoint.path, inputFiles } as const
  checkTarget(target)
  checkDtypes(checkpoint)
  const stored = dtype && fileDtypes[dtype]
  const read = weightReader(checkpoint, stored, onProgress)
  const write = to === 'diffusers' ? writeFolder : writeSingleFile
  let bytes = 0
  writeTarget(
    target,
    (place) => write(place, base, checkpoint, read),
    (place) => {
      checkResult(place, out, base, stored)
      bytes = sizeOf(place)
    },
  )
  const weights = components.flatMap((component) => [...checkpoint.components[component].tensors.values()])
  return {
    input: location,
    from: layouts[checkpoint.layout],
    to,
    out,
    tensors: weights.length,
    bytes,
    dtypes: stored ? [stored] : [...new Set(weights.map((weight) => weight.dtype))],
    leftOut: checkpoint.ignored.filter((key) => !constants.test(key)),
    notes: notesOn(base, checkpoint, to),
  }
}

const fileDtypes = { f32: 'F32', f16: 'F16', bf16: 'BF16' } as const satisfies Record<string, FloatDtype>

/** Keys that follow from the configuration: the noise schedule's tables, position numbers, marks of the objective. */
const constants =
  /(^|\.)(position_ids|v_pred|ztsnr|betas|logvar|alphas_cumprod\w*|(sqrt|log_one_minus|posterior)_\w+|lvlb_weights)$/

function refuseLora(location: string): void {
  if (!fs.statSync(location, { throwIfNoEntry: false })?.isFile()) return
  const keys = [...openSafetensors(location).tensors.keys()]
  const isBase = keys.some((key) => key.startsWith('model.diffusion_model.') || key.startsWith('first_stage_model.'))
  if (isBase || groupKeys(keys).modules.size === 0) return
  throw new LorikeetError('input', 'this is a LoRA file, not a base model', {
    where: location,
    expected: 'a single-file checkpoint or a diffusers folder',
    fix: 'Give the base model, or change the keys of the LoRA with --to kohya or --to peft',
  })
}

/** Every file is synced; model_index.json, without which nothing loads the folder, comes last. */
function writeFolder(place: string, base: BaseModel, checkpoint: Checkpoint, read: ReadWeight): void {
  const lists = components.map((component) => folderTensors(checkpoint, component, read))
  const configs = diffusersConfigs(base, lists[components.indexOf('textEncoder')]?.[0]?.dtype)
  const write = (name: string, config: Config) => writeFileAtomic(path.join(place, name), configText(config))
  for (const name of ['scheduler', 'tokenizer', ...Object.values(folders)]) fs.mkdirSync(path.join(place, name))
  write('scheduler/scheduler_config.json', configs.scheduler)
  writeTokenizer(path.join(place, 'tokenizer'), base)
  components.forEach((component, i) => {
    write(`${folders[component]}/config.json`, configs[component])
    const name = component === 'textEncoder' ? 'model' : 'diffusion_pytorch_model'
    // transformers refuses a file that does not say its format (modeling_utils.py, load_state_dict).
    writeSafetensors(path.join(place, folders[component], `${name}.safetensors`), lists[i] ?? [], { format: 'pt' })
  })
  write('model_index.json', modelIndex(configs.scheduler))
}

function writeSingleFile(place: string, base: BaseModel, checkpoint: Checkpoint, read: ReadWeight): void {
  const tensors = singleFileTensors(checkpoint, read)
  const textDtype = tensors.find(({ name }) => name.startsWith('cond_stage_model.'))?.dtype
  const metadata: Record<string, string> = {
    format: 'pt',
    ...checkpoint.metadata,
    [configMetadataKey]: JSON.stringify(diffusersConfigs(base, textDtype)),
  }
  delete metadata['modelspec.hash_sha256'] // of the old file
  writeSafetensors(place, tensors, metadata)
}

/** The result must read like the input; the bytes were compared with what was read when they were written. */
function checkResult(place: string, out: string, base: BaseModel, dtype: FloatDtype | undefined): void {
  const result = openBaseModel(place)
  const wrong = differences(base, result, dtype)
  if (wrong === undefined) return
  throw new LorikeetError('failed', `the model read back differs from the input in ${wrong}`, {
    where: out,
    fix: 'Nothing was written. This is a fault of Lorikeet: please report it with the output of lorikeet inspect',
  })
}

function differences(base: BaseModel, result: BaseModel, dtype: FloatDtype | undefined): string | undefined {
  for (const component of components) {
    const before = base.checkpoint?.components[component].tensors
    const after = result.checkpoint?.components[component].tensors
    if (before?.size !== after?.size) return `the number of tensors of ${component}`
    for (const [name, { shape, dtype: old }] of before ?? []) {
      const found = after?.get(name)
      if (!isDeepStrictEqual(found?.shape, shape) || found?.dtype !== (dtype ?? old)) return `${component} ${name}`
    }
  }
  if (!isDeepStrictEqual(result.config, base.config)) return 'its sizes'
  if (result.predictionType !== base.predictionType) return 'what it predicts'
  return result.zeroTerminalSnr === base.zeroTerminalSnr ? undefined : 'its noise schedule'
}

function notesOn(base: BaseModel, { tokenizer, configs }: Checkpoint, to: BaseLayout): string[] {
  const notes: string[] = []
  if (to === 'single-file' && tokenizer !== undefined && !isClipTokenizer(tokenizer)) {
    notes.push(
      "The model's tokenizer is not CLIP's own, and a single file cannot carry it: prompts will be read differently",
    )
  }
  if (!base.predictionTypeStated) notes.push('The model does not say what it predicts: epsilon is assumed')
  if (!configs.unet)
    notes.push('The file says nothing about heads and norm groups: those of Stable Diffusion 1.5 are assumed')
  return notes
}
