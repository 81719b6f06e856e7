/** A training run small enough for tests: the tiny fixture model and six drawn pictures of two shapes. */
import type { ExecutionContext } from 'ava'
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import sharp from 'sharp'
import { openDevice } from '../../lib/pipeline/device'
import { resolveRecipe, type Recipe } from '../../lib/recipe'
import type { TrainEvent, TrainResult } from '../../lib/train/events'
import { trainRecipe, type TrainOptions } from '../../lib/train/loop'
import { testDevice } from '../helpers/test-device'

// Results carry the time of the run; with this they are the same from run to run.
process.env.SOURCE_DATE_EPOCH = '1700000000'

export const tinyModel = join(__dirname, '../fixtures/sd15-tiny/model')

export interface TinyRun {
  folder: string
  pictures: string
  /** Of the run "tiny": `path('tiny.safetensors')`. */
  path(name: string): string
  bytes(name: string): Buffer
  recipe(overrides?: Record<string, unknown>): Recipe
  train(recipe: Recipe, options?: Partial<TrainOptions>): Promise<{ result: TrainResult; events: TrainEvent[] }>
}

export async function tinyRun(t: ExecutionContext): Promise<TinyRun> {
  const folder = mkdtempSync(join(tmpdir(), 'lorikeet-train-'))
  t.teardown(() => rmSync(folder, { recursive: true, force: true }))
  const pictures = join(folder, '1_ohwx bird')
  await drawPictures(pictures)
  return {
    folder,
    pictures,
    path: (name) => join(folder, name),
    bytes: (name) => readFileSync(join(folder, name)),
    recipe: (overrides = {}) => resolveRecipe(merge(tinyRecipe(folder, pictures), overrides) as never),
    async train(recipe, options = {}) {
      const events: TrainEvent[] = []
      const device = openDevice(testDevice, { computeDtype: 'f32', threads: 1 })
      const onEvent = (event: TrainEvent) => {
        events.push(event)
        options.onEvent?.(event)
      }
      return { result: await trainRecipe(recipe, { device, ...options, onEvent }), events }
    },
  }
}

export function tinyRecipe(folder: string, pictures: string): Record<string, unknown> {
  return {
    base: tinyModel,
    output: { name: 'tiny', dir: folder },
    dataset: { image_dir: pictures, resolution: 64, bucket_reso_steps: 16, batch_size: 2 },
    adapter: { kind: 'lora', rank: 4 },
    train: { steps: 6, unet_lr: 1e-3 },
  }
}

export async function drawPictures(pictures: string): Promise<void> {
  mkdirSync(pictures, { recursive: true })
  for (let i = 0; i < 6; i++) {
    const background = { r: 40 * i, g: 250 - 30 * i, b: 90 }
    const picture = sharp({ create: { width: i % 3 === 0 ? 96 : 64, height: 64, channels: 3, background } })
    await picture.png().toFile(join(pictures, `bird${i}.png`))
    if (i > 0) writeFileSync(join(pictures, `bird${i}.txt`), `ohwx bird, number ${i}, on a wall`)
  }
}

/** Mappings are merged key by key, everything else is replaced; undefined removes. */
export function merge(base: Record<string, unknown>, more: Record<string, unknown>): Record<string, unknown> {
  const isMapping = (value: unknown): value is Record<string, unknown> =>
    typeof value === 'object' && value !== null && !Array.isArray(value)
  const merged = { ...base }
  for (const [key, value] of Object.entries(more)) {
    const old = merged[key]
    if (value === undefined) delete merged[key]
    else merged[key] = isMapping(old) && isMapping(value) ? merge(old, value) : value
  }
  return merged
}
