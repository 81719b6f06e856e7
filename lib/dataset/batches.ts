/**
 * Which images make which batch. As in sd-scripts (`make_buckets`, `shuffle_buckets` in library/train_util.py): every
 * image as often as its repeats, batches never mix buckets, the last batch of a bucket may be smaller and is kept,
 * and each epoch has a new order. Unlike there, everything is a pure function of (seed, step): resuming needs no more
 * than the step's number.
 *
 * One step is one update of the weights: `accumulation` batches, fewer at the end of an epoch (a step never reaches
 * into the next epoch).
 */

import { LorikeetError } from '../base/errors'
import { processCaption, shuffle } from './captions'
import { Dataset, settingsOf } from './dataset'
import { Size } from './options'
import { randomStream } from './random'

export interface BatchItem {
  /** Index into the dataset's images. */
  image: number
  flip: boolean
  /** The caption as trained in this step. */
  caption: string
}

export interface Batch {
  /** Counted from 0. */
  epoch: number
  /** Index into the dataset's buckets. */
  bucket: number
  size: Size
  items: BatchItem[]
}

export interface BatchPlan {
  /** Images seen in an epoch, repeats included. */
  imagesPerEpoch: number
  batchesPerEpoch: number
  stepsPerEpoch: number
  /** Batches per step. */
  accumulation: number
  /** Every shape that a batch can have: the programs that a run needs. */
  shapes: { size: Size; batchSize: number }[]
  /** The batches of one step, counted from 0; `accumulation` of them, fewer in the last step of an epoch. */
  batchesAt(step: number): Batch[]
}

export interface BatchOptions {
  seed: number
  /** Batches per step. */
  accumulation?: number
}

/** One showing of an image: `number` counts all showings of an epoch, in the order of images and repeats. */
type Slot = { image: number; number: number }
type PlannedBatch = { bucket: number; slots: Slot[] }

/** Plans the batches of a dataset; `batch_size` is the dataset's. */
export function planBatches(dataset: Dataset, { seed, accumulation = 1 }: BatchOptions): BatchPlan {
  const batchSize = dataset.options.batch_size
  const counts = dataset.buckets.map((bucket) => Math.ceil(bucket.count / batchSize))
  const batchesPerEpoch = counts.reduce((sum, n) => sum + n, 0)
  const stepsPerEpoch = Math.ceil(batchesPerEpoch / accumulation)
  let last: { epoch: number; order: PlannedBatch[] } | undefined // steps come in order: an epoch is computed once
  const orderOf = (epoch: number) => {
    if (last?.epoch !== epoch) last = { epoch, order: epochOrder(dataset, seed, epoch, batchSize) }
    return last.order
  }
  return {
    imagesPerEpoch: dataset.buckets.reduce((sum, bucket) => sum + bucket.count, 0),
    batchesPerEpoch,
    stepsPerEpoch,
    accumulation,
    shapes: dataset.buckets.flatMap(({ size, count }) =>
      batchSizes(count, batchSize).map((images) => ({ size, batchSize: images })),
    ),
    batchesAt(step) {
      if (!Number.isInteger(step) || step < 0) {
        throw new LorikeetError('failed', 'a step is counted from 0', { received: String(step) })
      }
      const epoch = Math.floor(step / stepsPerEpoch)
      const first = (step % stepsPerEpoch) * accumulation
      return orderOf(epoch)
        .slice(first, first + accumulation)
        .map((batch) => fillBatch(dataset, seed, epoch, batch))
    },
  }
}

function batchSizes(count: number, batchSize: number): number[] {
  const rest = count % batchSize
  return [...(count >= batchSize ? [batchSize] : []), ...(rest > 0 ? [rest] : [])]
}

function epochOrder(dataset: Dataset, seed: number, epoch: number, batchSize: number): PlannedBatch[] {
  const bucketSlots: Slot[][] = dataset.buckets.map(() => [])
  let number = 0
  for (const [image, { folder, bucket }] of dataset.images.entries()) {
    for (let i = 0; i < dataset.folders[folder].repeats; i++) bucketSlots[bucket].push({ image, number: number++ })
  }
  const batches = bucketSlots.flatMap((slots, b) => {
    shuffle(slots, randomStream({ seed, purpose: 'image order', epoch, item: b }))
    return Array.from({ length: Math.ceil(slots.length / batchSize) }, (_, i) => ({
      bucket: b,
      slots: slots.slice(i * batchSize, (i + 1) * batchSize),
    }))
  })
  shuffle(batches, randomStream({ seed, purpose: 'batch order', epoch, item: 0 }))
  return batches
}

function fillBatch(dataset: Dataset, seed: number, epoch: number, { bucket, slots }: PlannedBatch): Batch {
  const items = slots.map(({ image, number: item }) => {
    const { caption } = dataset.images[image]
    const settings = settingsOf(dataset, dataset.images[image])
    return {
      image,
      flip: settings.flip_aug && randomStream({ seed, purpose: 'flip', epoch, item })() < 0.5,
      caption: processCaption(caption.text, settings, randomStream({ seed, purpose: 'caption', epoch, item }), epoch),
    }
  })
  return { epoch, bucket, size: dataset.buckets[bucket].size, items }
}
