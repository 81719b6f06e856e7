/** Writing results and checkpoints, and finding the checkpoint to go on from. */
import { mkdirSync, statfsSync, existsSync } from 'node:fs'
import * as path from 'node:path'
import { LorikeetError } from '../base/errors'
import { formatBytes } from '../base/units'
import { writeSafetensors } from '../formats/safetensors'
import { modelHashes } from '../formats/model-hashes'
import { bytesOf } from '../graph/tensor'
import type { Recipe } from '../recipe'
import { findChanges, type RunFacts } from './changes'
import {
  findCheckpoints,
  readFacts,
  removeOld,
  restoreCheckpoint,
  saveCheckpoint,
  type CheckpointFacts,
  type RunPaths,
} from './checkpoint'
import type { OnEvent } from './events'
import type { Trainer } from './trainer'

const dtypes = { fp16: 'F16', bf16: 'BF16', float: 'F32' } as const

/** Writes what is trained, with its metadata and hashes; atomically, and read back. */
export async function saveResult(
  file: string,
  trainer: Trainer,
  recipe: Pick<Recipe, 'output'>,
  metadata: Record<string, string>,
): Promise<void> {
  const result = await trainer.result(dtypes[recipe.output.save_precision])
  // The hashes are those by which LoRA files are recognised.
  const own = trainer.options.adapter.kind === 'lora' ? { ...metadata, ...modelHashes(result.tensors, metadata) } : {}
  writeSafetensors(file, result.tensors, { ...own, ...result.metadata })
}

export interface Saver {
  /** @param lora where the LoRA goes, besides the checkpoint */
  save(step: number, lora?: string): Promise<void>
}

export function createSaver(
  paths: RunPaths,
  trainer: Trainer,
  recipe: Recipe,
  facts: Omit<CheckpointFacts, 'version' | 'hashes' | 'updates' | 'step'>,
  { metadata, onEvent }: { metadata: (step: number) => Record<string, string>; onEvent: OnEvent },
): Saver {
  let last: string | undefined = findCheckpoints(paths)[0]?.file
  return {
    async save(step, lora) {
      const checkpoint = paths.checkpoint(step)
      try {
        // The checkpoint last: where it is, the LoRA of its step is complete.
        if (lora !== undefined) await saveResult(lora, trainer, recipe, metadata(step))
        saveCheckpoint(checkpoint, trainer, { ...facts, step })
      } catch (error) {
        throw last === undefined || !(error instanceof LorikeetError) ? error : withLastGood(error, last)
      }
      last = checkpoint
      removeOld(paths, recipe.output.keep_last)
      onEvent({ kind: 'saved', lora, checkpoint, step })
    },
  }
}

function withLastGood(error: LorikeetError, last: string): LorikeetError {
  const { fix, ...details } = error.details
  const problem =
    error.message.slice(error.details.where ? error.details.where.length + 2 : 0).split('. ')[0] ?? error.message
  const way = `The last checkpoint is complete: ${last}. ${fix ?? ''}; then go on with --resume`
  return new LorikeetError(error.kind, problem, { ...details, fix: way })
}

/** @throws LorikeetError (failed) when the folder cannot be made, or has no room for a result and two checkpoints */
export function prepareFolder(paths: RunPaths, trainer: Pick<Trainer, 'elements' | 'stateBuffers'>): void {
  const checkpoint = trainer.stateBuffers.reduce((sum, state) => sum + bytesOf(state), 0)
  const needed = 2 * checkpoint + trainer.elements * 4
  try {
    mkdirSync(paths.folder, { recursive: true })
  } catch (cause) {
    const code = cause instanceof Error && 'code' in cause ? String(cause.code) : ''
    throw new LorikeetError('failed', `the folder for the results cannot be made (${code})`, {
      where: paths.folder,
      fix: 'Change output.dir or the rights of the folder',
      cause,
    })
  }
  const { bavail, bsize } = statfsSync(paths.folder)
  if (bavail * bsize >= needed) return
  throw new LorikeetError('failed', 'the disk has too little room for the results', {
    where: path.dirname(paths.folder),
    expected: `${formatBytes(needed)} for the LoRA and two checkpoints`,
    received: `${formatBytes(bavail * bsize)} free`,
    fix: 'Free some space or change output.dir',
  })
}

/** @throws LorikeetError (usage) when an earlier run of this name is there and nobody said what to do with it */
export function refuseExisting(paths: RunPaths): void {
  const found = [paths.final, ...findCheckpoints(paths).map(({ file }) => file)].find((file) => existsSync(file))
  if (found === undefined) return
  throw new LorikeetError('usage', 'there is a result of this name already', {
    where: found,
    fix: 'Go on with --resume, start again with --overwrite, or change output.name',
  })
}

/**
 * Puts the newest sound checkpoint into the trainer.
 * @returns undefined when there is none
 * @throws LorikeetError (usage) when the recipe, the dataset or the base is another one, naming what changed; (input)
 *   when there are checkpoints and none is sound
 */
export async function resumeFrom(
  paths: RunPaths,
  trainer: Trainer,
  now: RunFacts,
  onEvent: OnEvent,
): Promise<CheckpointFacts | undefined> {
  let problem: unknown
  for (const { file } of findCheckpoints(paths)) {
    try {
      const { refused, noted } = findChanges(readFacts(file), now)
      if (refused.length > 0)
        throw new LorikeetError(
          'usage',
          `this run cannot go on, as something changed:\n${refused.map((line) => `  ${line}`).join('\n')}`,
          {
            where: file,
            fix: '\nChange it back, or start a new run with another output.name (continue_from takes over a LoRA)',
          },
        )
      const facts = await restoreCheckpoint(file, trainer)
      for (const line of noted)
        onEvent({ kind: 'note', text: `${line}: the last bits may differ from a run in one go` })
      onEvent({ kind: 'resumed', file, step: facts.step, steps: now.steps })
      return facts
    } catch (error) {
      if (!(error instanceof LorikeetError) || error.kind !== 'input') throw error
      problem ??= error
      onEvent({ kind: 'note', text: `${error.message}; trying the one before` })
    }
  }
  if (problem !== undefined) throw problem
  onEvent({ kind: 'note', text: 'There is no checkpoint to resume from: starting from the beginning' })
  return undefined
}
