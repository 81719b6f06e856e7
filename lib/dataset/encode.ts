/**
 * Encodes a dataset once, before training: images to latents, captions to text embeddings, both kept in the cache.
 * The networks are passed in, so that this folder knows none. A flipped image is encoded from its flipped pixels:
 * mirrored latents are not the latents of the mirror image.
 */

import path from 'node:path'
import { LorikeetError } from '../base/errors'
import { formatSize } from './buckets'
import { CacheEntry, cacheKey, readEntry, writeEntry } from './cache'
import { captionVariants } from './captions'
import { Dataset, DatasetImage, settingsOf } from './dataset'
import { decodeForBucket, decoderId } from './images'

/** The posterior of one image. */
export interface EncodedLatents {
  mean: Float32Array
  logvar: Float32Array
  /** [1, C, h, w] */
  shape: readonly number[]
}

export interface LatentEncoder {
  /** Names all that influences the result besides the pixels: a hash of the weights, the precision. */
  id: string
  /** @param pixels [1, 3, H, W], -1 to 1 */
  encode(pixels: Float32Array, shape: [1, 3, number, number]): Promise<EncodedLatents>
}

/** Embeddings by name, such as `context` [1, T, C] and `pooled` [1, C]. */
export type EncodedCaption = CacheEntry

export interface CaptionEncoder {
  /** Names all that influences the result besides the caption: weights, tokenizer, clip skip, maximum length. */
  id: string
  encode(caption: string): Promise<EncodedCaption>
}

export interface EncodeOptions {
  onProgress?: (progress: { done: number; total: number; name: string }) => void
  /** Told in a sentence what was repaired. */
  onMessage?: (message: string) => void
}

export interface EncodeCounts {
  /** Entries found in the cache. */
  reused: number
  /** Entries computed in this call. */
  encoded: number
}

export interface LatentCache extends EncodeCounts {
  /** @param flip true only for images of folders with `flip_aug` */
  load(image: number, flip: boolean): Promise<EncodedLatents>
}

export interface CaptionCache extends EncodeCounts {
  load(caption: string): Promise<EncodedCaption>
}

interface Job {
  key: string
  /** Image file or caption, as messages name it. */
  name: string
  compute: () => Promise<CacheEntry>
}

/**
 * Makes sure that the latents of every image (and of its mirror image, with `flip_aug`) are in the cache. Can be
 * interrupted at any time: what is done stays done.
 * @throws LorikeetError naming the image, when it changed on disk or its latents are not finite
 */
export async function cacheLatents(
  dataset: Dataset,
  encoder: LatentEncoder,
  options: EncodeOptions = {},
): Promise<LatentCache> {
  const folder = path.join(dataset.cacheDir, 'latents')
  const jobs = dataset.images.flatMap((image) => {
    const flips = settingsOf(dataset, image).flip_aug ? [false, true] : [false]
    return flips.map((flip) => latentJob(dataset, image, flip, encoder))
  })
  const counts = await fill(folder, jobs, options)
  return {
    ...counts,
    async load(image, flip) {
      const key = latentKey(dataset, dataset.images[image], flip, encoder)
      const entry = await mustRead(folder, key, dataset.images[image].path)
      return { mean: entry.mean.data, logvar: entry.logvar.data, shape: entry.mean.shape }
    },
  }
}

/**
 * Makes sure that the embedding of every caption that training can show is in the cache.
 * @param extra further texts, such as the prompts of samples
 * @throws LorikeetError of kind usage when captions vary from step to step (`shuffle_caption`,
 *   `caption_tag_dropout_rate`): these have to be encoded as they come
 */
export async function cacheCaptions(
  dataset: Dataset,
  encoder: CaptionEncoder,
  options: EncodeOptions & { extra?: string[] } = {},
): Promise<CaptionCache> {
  const folder = path.join(dataset.cacheDir, 'texts')
  const captions = trainedCaptions(dataset)
  if (!captions) {
    throw new LorikeetError('usage', 'captions that change from step to step cannot be cached', {
      where: 'shuffle_caption, caption_tag_dropout_rate',
      fix: 'Turn them off, or do not cache text embeddings',
    })
  }
  const keyOf = (caption: string) => cacheKey({ kind: 'text', caption, encoder: encoder.id })
  const texts = [...new Set([...captions, ...(options.extra ?? [])])]
  const jobs = texts.map((caption) => ({
    key: keyOf(caption),
    name: `caption "${caption}"`,
    compute: () => encoder.encode(caption),
  }))
  const counts = await fill(folder, jobs, options)
  return { ...counts, load: (caption) => mustRead(folder, keyOf(caption), `caption "${caption}"`) }
}

/** Every caption that training can show, or undefined when some vary from step to step. */
export function trainedCaptions(dataset: Dataset): string[] | undefined {
  const all = new Set<string>()
  for (const image of dataset.images) {
    const variants = captionVariants(image.caption.text, settingsOf(dataset, image))
    if (!variants) return undefined
    for (const variant of variants) all.add(variant)
  }
  return [...all]
}

function latentJob(dataset: Dataset, image: DatasetImage, flip: boolean, encoder: LatentEncoder): Job {
  const { width, height } = image.placement.bucket
  const compute = async () => {
    const pixels = await decodeForBucket({ ...image, flip, background: dataset.options.alpha_background })
    const { mean, logvar, shape } = await encoder.encode(pixels, [1, 3, height, width])
    return { mean: { data: mean, shape }, logvar: { data: logvar, shape } }
  }
  return { key: latentKey(dataset, image, flip, encoder), name: image.path, compute }
}

function latentKey(dataset: Dataset, image: DatasetImage, flip: boolean, encoder: LatentEncoder): string {
  return cacheKey({
    kind: 'latents',
    image: image.contentHash,
    resized: formatSize(image.placement.resized),
    bucket: formatSize(image.placement.bucket),
    flip,
    background: dataset.options.alpha_background,
    decoder: decoderId,
    encoder: encoder.id,
  })
}

async function fill(folder: string, jobs: Job[], { onProgress, onMessage }: EncodeOptions): Promise<EncodeCounts> {
  const counts = { reused: 0, encoded: 0 }
  for (const [i, { key, name, compute }] of jobs.entries()) {
    const found = await readEntry(folder, key)
    if (found === 'damaged') onMessage?.(`${name}: its cache entry was damaged and is computed again`)
    if (found === 'absent' || found === 'damaged') {
      writeEntry(folder, key, finite(await compute(), name))
      counts.encoded++
    } else {
      counts.reused++
    }
    onProgress?.({ done: i + 1, total: jobs.length, name })
  }
  return counts
}

function finite(entry: CacheEntry, name: string): CacheEntry {
  for (const [tensor, { data }] of Object.entries(entry)) {
    if (data.every(Number.isFinite)) continue
    throw new LorikeetError('failed', `the encoder gave numbers that are not finite (${tensor})`, {
      where: name,
      fix: 'Remove it from the dataset, or encode in f32; if all are like this, the base model is damaged',
    })
  }
  return entry
}

async function mustRead(folder: string, key: string, name: string): Promise<CacheEntry> {
  const entry = await readEntry(folder, key)
  if (entry !== 'absent' && entry !== 'damaged') return entry
  throw new LorikeetError('input', `its cache entry is ${entry}, though it was there at the start`, {
    where: name,
    fix: 'Resume the run: the entry is computed again',
  })
}
