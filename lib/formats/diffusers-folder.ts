/** The files of one component in a diffusers folder: its configuration and its weights, whole or in several parts. */
import * as fs from 'node:fs'
import * as path from 'node:path'
import { LorikeetError } from '../base/errors'
import { refuseForeignFile } from './foreign-files'

/** A weights file, and which of its keys count; without a list, all. */
export interface WeightsFile {
  file: string
  keys?: string[]
}

/**
 * @returns the configuration, or undefined when there is no such file
 * @throws LorikeetError (input) when it is no JSON object
 */
export function readConfig(file: string): Record<string, unknown> | undefined {
  if (!fs.existsSync(file)) return undefined
  let value: unknown
  try {
    value = JSON.parse(fs.readFileSync(file, 'utf8'))
  } catch (error) {
    const received = error instanceof Error ? error.message.slice(0, 120) : undefined
    const fix = 'Fetch the file again'
    throw new LorikeetError('input', 'this is not valid JSON', { where: file, received, fix, cause: error })
  }
  if (typeof value === 'object' && value !== null && !Array.isArray(value)) return value as Record<string, unknown>
  throw new LorikeetError('input', 'this is not a configuration', { where: file, expected: 'a JSON object' })
}

const stems = ['diffusion_pytorch_model', 'model'] // of diffusers and of transformers
const variants = ['', '.fp16', '.bf16', '.non_ema', '.ema']

/**
 * Finds a component's weights. Full precision goes before half, whole files before parts. Some published folders also
 * hold the average over the training (`ema`) and the weights without it; these are the last resort.
 * @throws LorikeetError (input) when there are none, or only pickle files
 */
export function findWeights(folder: string): WeightsFile[] {
  const stats = fs.statSync(folder, { throwIfNoEntry: false })
  if (!stats?.isDirectory()) {
    throw new LorikeetError('input', 'the model has no such folder', {
      where: folder,
      expected: 'the folders unet, vae and text_encoder',
      fix: 'Fetch the whole model, or give a single .safetensors file',
    })
  }
  for (const variant of variants) {
    for (const stem of stems) {
      const whole = path.join(folder, `${stem}${variant}.safetensors`)
      if (fs.existsSync(whole)) return [{ file: whole }]
      const indexes = [`${stem}.safetensors.index${variant}.json`, `${stem}${variant}.safetensors.index.json`]
      const index = indexes.map(name => path.join(folder, name)).find(file => fs.existsSync(file))
      if (index) return readIndex(index)
    }
  }
  const other = fs.readdirSync(folder).find(name => /\.(bin|pt|pth|ckpt)$/.test(name))
  if (other) refuseForeignFile(path.join(folder, other), new Uint8Array())
  throw new LorikeetError('input', 'there are no weights in this folder', {
    where: folder,
    expected: 'diffusion_pytorch_model.safetensors or model.safetensors',
    fix: 'Fetch the model again, with its safetensors files',
  })
}

/** An index file lists for every key the part that holds it. */
function readIndex(index: string): WeightsFile[] {
  const map = readConfig(index)?.weight_map
  if (typeof map !== 'object' || map === null) {
    throw new LorikeetError('input', 'the index has no weight_map', { where: index, fix: 'Fetch the file again' })
  }
  const parts = new Map<string, string[]>()
  for (const [key, part] of Object.entries(map)) {
    // A part lies beside its index; a path that leads elsewhere is not followed.
    if (typeof part !== 'string' || part !== path.basename(part) || !part.endsWith('.safetensors')) {
      throw new LorikeetError('input', `the index names an impossible file for "${key}"`, {
        where: index,
        expected: 'the name of a .safetensors file beside it',
        received: JSON.stringify(part).slice(0, 80),
      })
    }
    const keys = parts.get(part)
    if (keys) keys.push(key)
    else parts.set(part, [key])
  }
  return [...parts].map(([part, keys]) => ({ file: path.join(path.dirname(index), part), keys }))
}
