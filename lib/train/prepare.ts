/** Everything before the first step: the dataset, the report, whether it fits, the caches. */
import { LorikeetError } from '../base/errors'
import { formatBytes } from '../base/units'
import {
  cacheCaptions,
  cacheLatents,
  planBatches,
  prepareDataset,
  reportDataset,
  trainedCaptions,
  type BatchPlan,
  type Dataset,
  type LatentCache,
  type RunLength,
} from '../dataset'
import type { Pipeline } from '../pipeline/pipeline'
import type { Recipe } from '../recipe'
import { cachedText, captionEncoder, encodedText, latentEncoder, tokenizedText, type TextSource } from './encoders'
import type { OnEvent } from './events'
import { lengthOf } from './from-recipe'
import { findFitting, largestShapes, memoryLimit, planRun, stepShapes, type MemoryReport } from './report'

export interface PreparedData {
  dataset: Dataset
  plan: BatchPlan
  length: RunLength
  memory: MemoryReport
}

/**
 * Reads the dataset and reports it with the memory that the run needs.
 * @param budget bytes; what the machine has unless told
 * @throws LorikeetError (memory) when the run cannot fit, with settings that would
 */
export async function prepareData(
  pipe: Pick<Pipeline, 'base' | 'device' | 'tokenize'>,
  recipe: Recipe,
  { onEvent, budget = memoryLimit(pipe.device), check = () => {} }: { onEvent: OnEvent; budget?: number; check?: () => void },
): Promise<PreparedData> {
  const dataset = await prepareDataset(recipe.dataset, {
    onProgress: (done, total) => {
      check()
      onEvent({ kind: 'progress', task: 'pictures', done, total })
    },
  })
  const plan = planBatches(dataset, { seed: recipe.train.seed, accumulation: recipe.train.gradient_accumulation })
  const length = lengthOf(recipe, plan)
  const shapes = stepShapes(recipe, plan)
  const memory = planRun(pipe, recipe, largestShapes(shapes))
  const report = reportDataset(dataset, plan, {
    steps: length.steps,
    countTokens: (caption) => pipe.tokenize(caption).length - 2,
    maxTokens: recipe.train.max_token_length,
  })
  onEvent({ kind: 'report', dataset: report, memory })
  if (memory.peak > budget) {
    const fitting = findFitting(pipe, recipe, shapes, budget)
    const ways = fitting.map(
      ({ settings, peak }) => `${settings.map((s) => `--set ${s}`).join(' ')} (${formatBytes(peak)})`,
    )
    throw new LorikeetError('memory', 'the run does not fit in memory', {
      expected: `at most ${formatBytes(budget)}`,
      received: formatBytes(memory.peak),
      fix: ways.length > 0 ? `This would fit: ${ways.join(', or ')}` : 'No smaller setting was found that fits',
    })
  }
  return { dataset, plan, length, memory }
}

export interface Sources {
  /** Undefined when the VAE is trained. */
  latents: LatentCache | undefined
  text: TextSource | undefined
}

/**
 * Encodes what training needs and is not cached yet. Networks that are not needed any more are unloaded.
 * @param check throws to stop; what is encoded by then stays
 */
export async function prepareSources(
  pipe: Pipeline,
  recipe: Recipe,
  dataset: Dataset,
  { onEvent, check }: { onEvent: OnEvent; check: () => void },
): Promise<Sources> {
  const { train } = recipe
  if (train.vae_lr > 0) return { latents: undefined, text: undefined }
  const settings = { clipSkip: train.clip_skip, maxTokenLength: train.max_token_length }
  const options = (task: 'latents' | 'captions') => ({
    onProgress: (progress: { done: number; total: number; name: string }) => {
      check()
      onEvent({ kind: 'progress', task, ...progress })
    },
    onMessage: (text: string) => onEvent({ kind: 'note', text }),
  })
  const latents = await cacheLatents(dataset, await latentEncoder(pipe), options('latents'))
  pipe.runtime.unload('vae')
  if (train.text_encoder_lr > 0) return { latents, text: tokenizedText(pipe, settings) }
  if (!trainedCaptions(dataset)) return { latents, text: encodedText(pipe, settings) }
  const captions = await cacheCaptions(dataset, await captionEncoder(pipe, settings), options('captions'))
  pipe.runtime.unload('text_encoder')
  return { latents, text: cachedText(captions) }
}

/** Whether the text encoder is needed while training goes on. */
export function needsTextEncoder(recipe: Pick<Recipe, 'train'>, dataset: Dataset): boolean {
  return recipe.train.text_encoder_lr > 0 || !trainedCaptions(dataset)
}
