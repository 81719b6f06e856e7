/**
 * What a person sees before the first step: what will be trained, in which shapes, for how long, with which captions,
 * and everything that was left out or changed, with the reason. First as a record (`--json` prints it), then as text.
 */

import path from 'node:path'
import { LorikeetError } from '../base/errors'
import { BatchPlan } from './batches'
import { formatSize } from './buckets'
import { Dataset, DatasetImage } from './dataset'
import { ImageTrait } from './images'
import { Skipped } from './scan'

export interface DatasetReport {
  images: number
  /** With repeats: how many images an epoch shows. */
  imagesPerEpoch: number
  batchSize: number
  folders: { name: string; images: number; repeats: number; classTokens?: string; triggerWord?: string }[]
  buckets: { size: string; images: number; imagesPerEpoch: number; batchesPerEpoch: number }[]
  captions: {
    fromFile: number
    fromClassTokens: number
    fromTriggerWord: number
    none: number
    emptyFiles: number
    /** Captions of which only the first line is used. */
    ignoredLines: string[]
    /** Caption files that lost against another one beside the same image. */
    ignoredFiles: string[]
    /** Longer than the encoder reads; the end is cut. */
    tooLong: string[]
  }
  converted: { trait: ImageTrait; images: number }[]
  enlarged: { name: string; scale: number }[]
  /** Images of which the crop removes more than a quarter. */
  cropped: { name: string; part: number }[]
  duplicates: { name: string; of: string }[]
  skipped: Skipped[]
  notes: string[]
  /** The first captions of the first epoch, as the encoder gets them. */
  examples: { name: string; caption: string }[]
  length: RunLength
}

/** How long a run is. Epochs may be a fraction when the length was given in steps. */
export interface RunLength {
  steps: number
  epochs: number
  stepsPerEpoch: number
  batchesPerEpoch: number
  imagesSeen: number
  accumulation: number
}

export interface ReportOptions {
  /** Give one of `epochs` and `steps`. */
  epochs?: number
  steps?: number
  /** How many tokens a caption has, and how many the encoder reads. */
  countTokens?: (caption: string) => number
  maxTokens?: number
}

const severeCrop = 0.25

/** @throws LorikeetError of kind usage unless exactly one of epochs and steps is given */
export function reportDataset(dataset: Dataset, plan: BatchPlan, options: ReportOptions): DatasetReport {
  const { images, folders } = dataset
  const captions = images.map((image) => image.caption)
  const from = (source: string) => captions.filter((caption) => caption.source === source).length
  const names = (holds: (image: DatasetImage) => boolean) => images.filter(holds).map((image) => image.name)
  return {
    images: images.length,
    imagesPerEpoch: plan.imagesPerEpoch,
    batchSize: dataset.options.batch_size,
    folders: folders.map((folder, f) => ({
      name: folder.name,
      images: images.filter((image) => image.folder === f).length,
      repeats: folder.repeats,
      classTokens: folder.options.class_tokens,
      triggerWord: folder.options.trigger_word,
    })),
    buckets: dataset.buckets.map((bucket) => ({
      size: formatSize(bucket.size),
      images: bucket.images.length,
      imagesPerEpoch: bucket.count,
      batchesPerEpoch: Math.ceil(bucket.count / dataset.options.batch_size),
    })),
    captions: {
      fromFile: from('file'),
      fromClassTokens: from('class tokens'),
      fromTriggerWord: from('trigger word'),
      none: from('none'),
      emptyFiles: captions.filter((caption) => caption.source === 'file' && caption.text === '').length,
      ignoredLines: names((image) => image.caption.ignoredLines > 0),
      ignoredFiles: images.flatMap(({ caption, name }) =>
        caption.ignoredFiles.map((file) => `${path.dirname(name)}/${file}`),
      ),
      tooLong: names((image) => isTooLong(image.caption.text, options)),
    },
    converted: countTraits(images),
    enlarged: images
      .filter((image) => image.placement.scale > 1)
      .map((image) => ({ name: image.name, scale: image.placement.scale })),
    cropped: images
      .filter((image) => image.placement.cropped > severeCrop)
      .map((image) => ({ name: image.name, part: image.placement.cropped })),
    duplicates: findDuplicates(images),
    skipped: dataset.skipped,
    notes: dataset.notes,
    examples: exampleCaptions(dataset, plan, 5),
    length: runLength(plan, options),
  }
}

/**
 * Steps from epochs or the other way round. A step is one update of the weights: `plan.accumulation` batches.
 * @throws LorikeetError of kind usage unless exactly one of epochs and steps is given
 */
export function runLength(plan: BatchPlan, { epochs, steps }: ReportOptions): RunLength {
  if ((epochs === undefined) === (steps === undefined)) {
    throw new LorikeetError('usage', 'the length of the run is not clear', { expected: 'either epochs or steps' })
  }
  const { stepsPerEpoch, batchesPerEpoch, imagesPerEpoch, accumulation } = plan
  const total = steps ?? (epochs as number) * stepsPerEpoch
  const whole = Math.floor(total / stepsPerEpoch)
  const rest = Array.from({ length: total % stepsPerEpoch }, (_, i) => plan.batchesAt(whole * stepsPerEpoch + i)).flat()
  const imagesSeen = whole * imagesPerEpoch + rest.reduce((sum, batch) => sum + batch.items.length, 0)
  return { steps: total, epochs: total / stepsPerEpoch, stepsPerEpoch, batchesPerEpoch, imagesSeen, accumulation }
}

function isTooLong(caption: string, { countTokens, maxTokens }: ReportOptions): boolean {
  return countTokens !== undefined && maxTokens !== undefined && countTokens(caption) > maxTokens
}

function countTraits(images: DatasetImage[]): DatasetReport['converted'] {
  const counts = new Map<ImageTrait, number>()
  for (const trait of images.flatMap((image) => image.traits)) counts.set(trait, (counts.get(trait) ?? 0) + 1)
  return [...counts].map(([trait, count]) => ({ trait, images: count }))
}

function findDuplicates(images: DatasetImage[]): DatasetReport['duplicates'] {
  const first = new Map<string, string>()
  const found: DatasetReport['duplicates'] = []
  for (const { contentHash, name } of images) {
    const of = first.get(contentHash)
    if (of === undefined) first.set(contentHash, name)
    else found.push({ name, of })
  }
  return found
}

/** As trained: shuffle, dropout and trigger word applied, in the order of the first steps; each image once. */
function exampleCaptions(dataset: Dataset, plan: BatchPlan, count: number): DatasetReport['examples'] {
  const examples = new Map<number, string>()
  for (let step = 0; step < plan.stepsPerEpoch && examples.size < count; step++) {
    for (const { image, caption } of plan.batchesAt(step).flatMap((batch) => batch.items)) {
      if (examples.size < count && !examples.has(image)) examples.set(image, caption)
    }
  }
  return [...examples].map(([image, caption]) => ({ name: dataset.images[image].name, caption }))
}
