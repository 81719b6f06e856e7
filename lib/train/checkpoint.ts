/**
 * Checkpoints: all that it takes to go on from a step to the same bits. A checkpoint is one safetensors file with the
 * parameters and the optimizer state, bit for bit, and, in its metadata, the step and what the run depends on. Random
 * numbers and the order of the data are functions of the step, so no generator needs saving.
 *
 *     DIR/NAME.safetensors                     the LoRA, at the end
 *     DIR/NAME-step00000500.safetensors        the LoRA at save_every_n_...
 *     DIR/NAME/checkpoint-00000500.safetensors what --resume reads
 */
import { createHash } from 'node:crypto'
import * as fs from 'node:fs'
import * as path from 'node:path'
import { z } from 'zod'
import { LorikeetError } from '../base/errors'
import { openSafetensors, readTensorRaw, writeSafetensors, type SafetensorsFile } from '../formats/safetensors'
import { bytesOf } from '../graph/tensor'
import type { Recipe } from '../recipe'
import type { Trainer } from './trainer'

const factsSchema = z.object({
  version: z.literal(1),
  /** Steps done. */
  step: z.int().min(0),
  /** Updates made: steps less those that were skipped. */
  updates: z.int().min(0),
  /** Of the whole run. */
  steps: z.int().min(1),
  /** Unix time of the run's start. */
  startedAt: z.number(),
  recipe: z.record(z.string(), z.unknown()),
  dataset: z.string(),
  base: z.record(z.string(), z.string()),
  computeDtype: z.enum(['f32', 'bf16']),
  software: z.string(),
  /** sha256 of each buffer. */
  hashes: z.record(z.string(), z.string()),
})

/** What a checkpoint says about itself. */
export type CheckpointFacts = z.infer<typeof factsSchema>

export interface CheckpointFile {
  file: string
  step: number
}

const metadataKey = 'lorikeet.checkpoint'
const digits = (step: number) => String(step).padStart(8, '0')

export interface RunPaths {
  /** Of checkpoints, samples and logs. */
  folder: string
  /** The LoRA at the end. */
  final: string
  /** The LoRA after some steps. */
  intermediate(step: number): string
  checkpoint(step: number): string
}

export function runPaths({ dir, name }: Pick<Recipe['output'], 'dir' | 'name'>): RunPaths {
  const folder = path.join(dir, name)
  return {
    folder,
    final: `${folder}.safetensors`,
    intermediate: (step) => `${folder}-step${digits(step)}.safetensors`,
    checkpoint: (step) => path.join(folder, `checkpoint-${digits(step)}.safetensors`),
  }
}

/** The checkpoints of a run, newest first. A file under such a name is complete: it got the name when it was. */
export function findCheckpoints({ folder }: RunPaths): CheckpointFile[] {
  const names = fs.existsSync(folder) ? fs.readdirSync(folder) : []
  return names
    .flatMap((name) => {
      const [, step] = /^checkpoint-(\d{8,})\.safetensors$/.exec(name) ?? []
      return step === undefined ? [] : [{ file: path.join(folder, name), step: Number(step) }]
    })
    .sort((a, b) => b.step - a.step)
}

/**
 * @throws LorikeetError (failed) when it cannot be written; the ones that are there stay
 */
export function saveCheckpoint(
  file: string,
  trainer: Trainer,
  facts: Omit<CheckpointFacts, 'version' | 'hashes' | 'updates'>,
): void {
  const hashes = Object.fromEntries(trainer.stateBuffers.map(({ name }) => [name, hashOf(trainer.readState(name))]))
  const complete: CheckpointFacts = { version: 1, ...facts, updates: trainer.updates, hashes }
  const tensors = trainer.stateBuffers.map(({ name, dtype, shape }) => ({
    name,
    dtype: dtype === 'i32' ? ('I32' as const) : ('F32' as const),
    shape,
    data: () => trainer.readState(name),
  }))
  writeSafetensors(file, tensors, { [metadataKey]: JSON.stringify(complete) })
}

/** @throws LorikeetError (input) when it is no checkpoint */
export function readFacts(file: string): CheckpointFacts {
  return factsOf(openSafetensors(file))
}

function factsOf(file: SafetensorsFile): CheckpointFacts {
  try {
    return factsSchema.parse(JSON.parse(file.metadata[metadataKey] ?? ''))
  } catch (cause) {
    throw new LorikeetError('input', 'this is no checkpoint of this version', { where: file.path, cause })
  }
}

/** Puts a checkpoint into a trainer. @throws LorikeetError (input) when the file is damaged or of another adapter */
export async function restoreCheckpoint(checkpoint: string, trainer: Trainer): Promise<CheckpointFacts> {
  const file = openSafetensors(checkpoint)
  const facts = factsOf(file)
  for (const state of trainer.stateBuffers) {
    const { name } = state
    const bytes = readTensorRaw(file, name)
    if (bytes.length !== bytesOf(state))
      throw new LorikeetError('input', 'the checkpoint is of another adapter', {
        where: checkpoint,
        expected: `${bytesOf(state)} bytes of ${name}`,
        received: String(bytes.length),
      })
    if (hashOf(bytes) !== facts.hashes[name])
      throw new LorikeetError('input', 'the checkpoint is damaged', {
        where: checkpoint,
        fix: 'Remove it to resume from the one before',
      })
    trainer.writeState(name, bytes)
  }
  trainer.updates = facts.updates
  await trainer.refresh()
  return facts
}

function hashOf(bytes: Uint8Array): string {
  return createHash('sha256').update(bytes).digest('hex')
}

/**
 * Removes what the recipe does not want to keep; call it when the newest is complete. Of checkpoints without a LoRA
 * beside them two are kept, of the others `keepLast`. The newest always stays.
 */
export function removeOld(paths: RunPaths, keepLast: number | undefined): void {
  const [, ...older] = findCheckpoints(paths)
  const hasLora = ({ step }: CheckpointFile) => fs.existsSync(paths.intermediate(step))
  const newestHasLora = findCheckpoints(paths).slice(0, 1).some(hasLora)
  const saves = older
    .filter(hasLora)
    .slice(keepLast === undefined ? Infinity : Math.max(0, keepLast - (newestHasLora ? 1 : 0)))
  const between = older.filter((checkpoint) => !hasLora(checkpoint)).slice(1)
  for (const { file } of between) fs.rmSync(file, { force: true })
  for (const { file, step } of saves) {
    // The checkpoint first: a LoRA without one is no harm, the other way round it would count as one in between.
    fs.rmSync(file, { force: true })
    fs.rmSync(paths.intermediate(step), { force: true })
  }
}

/** Everything that an earlier run of this name left, for starting again. */
export function removeRun(paths: RunPaths): void {
  const { dir, base } = path.parse(paths.folder)
  const names = fs.existsSync(dir || '.') ? fs.readdirSync(dir || '.') : []
  const isResult = (name: string) =>
    name.startsWith(`${base}-step`) && /^-step\d{8,}\.safetensors$/.test(name.slice(base.length))
  for (const name of names.filter(isResult)) fs.rmSync(path.join(dir, name), { force: true })
  for (const { file } of findCheckpoints(paths)) fs.rmSync(file, { force: true })
  fs.rmSync(paths.final, { force: true })
  fs.rmSync(path.join(paths.folder, 'log.jsonl'), { force: true })
  fs.rmSync(path.join(paths.folder, 'tensorboard'), { recursive: true, force: true })
}

/** Temporary files of this run that a kill left behind. */
export function removeLeftovers(paths: RunPaths): void {
  const { dir, base } = path.parse(paths.folder)
  const sweep = (folder: string, isOurs: (name: string) => boolean) => {
    for (const name of fs.existsSync(folder) ? fs.readdirSync(folder) : [])
      if (/^\..+\.safetensors\.\d+-[0-9a-f]{8}\.tmp$/.test(name) && isOurs(name))
        fs.rmSync(path.join(folder, name), { force: true })
  }
  sweep(paths.folder, () => true)
  sweep(dir || '.', (name) => name.startsWith(`.${base}.safetensors.`) || name.startsWith(`.${base}-step`))
}
