/**
 * From the dataset part of a recipe to a dataset: folders scanned, every image inspected, placed in a bucket and given
 * its caption. Nothing is encoded here. What was left out or changed on the way is part of the result (report.ts).
 */

import { createHash } from 'node:crypto'
import { readdir } from 'node:fs/promises'
import path from 'node:path'
import { LorikeetError } from '../base/errors'
import { bucketRule, bySize, Placement } from './buckets'
import { Caption, changesTags, readCaption } from './captions'
import { ImageInfo, inspectImage, isSkipped } from './images'
import { DatasetInput, DatasetOptions, datasetSchema, Size, SubsetOptions, subsetsOf } from './options'
import { cacheFolderName, DatasetFolder, FoundImage, imageExtensions, scanSubsets, Skipped } from './scan'

export interface DatasetImage extends ImageInfo {
  path: string
  /** Folder and file name: what reports and logs show. */
  name: string
  /** Index into `folders`. */
  folder: number
  /** Index into `buckets`. */
  bucket: number
  placement: Placement
  caption: Caption
}

export interface Bucket {
  size: Size
  /** Indices into `images`. */
  images: number[]
  /** Images with their repeats. */
  count: number
}

export interface Dataset {
  options: DatasetOptions
  folders: DatasetFolder[]
  /** In the order of folders, then names; an image's index is its number everywhere. */
  images: DatasetImage[]
  buckets: Bucket[]
  skipped: Skipped[]
  notes: string[]
  cacheDir: string
  /** Changes when the images, captions or settings change: a resumed run compares it. */
  fingerprint: string
}

export interface PrepareOptions {
  onProgress?: (done: number, total: number) => void
}

/**
 * @throws LorikeetError of kind usage for wrong options; of kind input when a folder is missing, no image is usable,
 *   or a caption file is not text
 */
export async function prepareDataset(input: DatasetInput, { onProgress }: PrepareOptions = {}): Promise<Dataset> {
  const options = parseOptions(input)
  const subsets = subsetsOf(options)
  const scan = await scanSubsets(subsets)
  const inspected = await inspectAll(scan.images, onProgress)
  const skipped = [...scan.skipped]
  const images: DatasetImage[] = []
  const place = bucketRule(options)
  const siblings = await Promise.all(scan.folders.map((folder) => readdir(folder.path)))
  for (const [i, found] of scan.images.entries()) {
    const info = inspected[i]
    if (isSkipped(info)) {
      skipped.push(info)
      continue
    }
    const placement = place(info.size)
    if (!placement) {
      skipped.push(belowBucket(found.path, info.size, options))
      continue
    }
    const folder = scan.folders[found.folder]
    const caption = await readCaption(found.path, siblings[found.folder], folder.options)
    const name = `${folder.name}/${path.basename(found.path)}`
    images.push({ ...info, path: found.path, name, folder: found.folder, bucket: -1, placement, caption })
  }
  if (images.length === 0) throw noImages(subsets, skipped)
  const dataset = {
    options,
    folders: scan.folders,
    images,
    buckets: fillBuckets(images, scan.folders),
    skipped,
    notes: [...scan.notes, ...idleSettings(options, scan.folders)],
    cacheDir: options.cache_dir ?? path.join(subsets[0].image_dir, cacheFolderName),
  }
  return { ...dataset, fingerprint: fingerprint(dataset) }
}

/** The settings of an image's folder. */
export function settingsOf(dataset: Pick<Dataset, 'folders'>, image: Pick<DatasetImage, 'folder'>): SubsetOptions {
  return dataset.folders[image.folder].options
}

function parseOptions(input: DatasetInput): DatasetOptions {
  const result = datasetSchema.safeParse(input)
  if (result.success) return result.data
  const issues = result.error.issues.map((issue) => `${issue.path.join('.') || 'dataset'}: ${issue.message}`)
  throw new LorikeetError('usage', `the dataset options are wrong: ${issues.join('; ')}`, { cause: result.error })
}

/** Four at a time, which is as many as sharp decodes at once; results in the order of `images`. */
async function inspectAll(images: FoundImage[], onProgress?: (done: number, total: number) => void) {
  const results: (ImageInfo | Skipped)[] = new Array(images.length)
  let next = 0
  let done = 0
  const worker = async () => {
    while (next < images.length) {
      const i = next++
      results[i] = await inspectImage(images[i].path)
      onProgress?.(++done, images.length)
    }
  }
  await Promise.all(Array.from({ length: 4 }, worker))
  return results
}

function belowBucket(file: string, { width, height }: Size, options: DatasetOptions): Skipped {
  return {
    path: file,
    reason: 'too small',
    detail: `${width}x${height} gives no side of ${options.bucket_reso_steps} pixels without enlarging`,
    fix: 'set bucket_no_upscale: false, or lower bucket_reso_steps',
  }
}

/** Groups the images by bucket size, in the order of sizes, and writes each image's bucket number. */
function fillBuckets(images: DatasetImage[], folders: DatasetFolder[]): Bucket[] {
  const buckets: Bucket[] = []
  const sorted = [...images.entries()].sort(([i, a], [j, b]) => bySize(a.placement.bucket, b.placement.bucket) || i - j)
  for (const [index, image] of sorted) {
    let bucket = buckets.at(-1)
    if (!bucket || bySize(bucket.size, image.placement.bucket) !== 0) {
      bucket = { size: image.placement.bucket, images: [], count: 0 }
      buckets.push(bucket)
    }
    bucket.images.push(index)
    bucket.count += folders[image.folder].repeats
    image.bucket = buckets.length - 1
  }
  return buckets
}

/** Settings that are given and change nothing, as sentences. */
function idleSettings(options: DatasetOptions, folders: DatasetFolder[]): string[] {
  const notes: string[] = []
  const idle = (names: (keyof DatasetOptions)[], because: string) => {
    const given = names.filter((name) => options[name] !== undefined)
    if (given.length > 0) notes.push(`${given.join(' and ')}: no effect ${because}`)
  }
  const limits: (keyof DatasetOptions)[] = ['min_bucket_reso', 'max_bucket_reso']
  if (!options.enable_bucket) idle(limits, 'with enable_bucket: false')
  else if (options.bucket_no_upscale) idle(limits, 'with bucket_no_upscale: buckets follow the images')
  if (folders.some(({ options: own }) => own.keep_tokens > 0 && !changesTags(own))) {
    notes.push('keep_tokens: no effect without shuffle_caption or caption_tag_dropout_rate')
  }
  return notes
}

function noImages(subsets: SubsetOptions[], skipped: Skipped[]): LorikeetError {
  const shown = skipped.slice(0, 3).map((s) => `${path.basename(s.path)} (${s.reason})`)
  const more = skipped.length > 3 ? ` and ${skipped.length - 3} more` : ''
  const files = skipped.length === 1 ? '1 entry' : `${skipped.length} entries`
  return new LorikeetError('input', 'the dataset has no image to train on', {
    where: subsets.map((subset) => subset.image_dir).join(', '),
    expected: `${imageExtensions.map((e) => e.slice(1)).join(', ')} files in it or in folders such as "10_ohwx person"`,
    received: skipped.length === 0 ? 'an empty folder' : `${files} that cannot be used: ${shown.join(', ')}${more}`,
    fix: 'Check image_dir and the files',
  })
}

function fingerprint({ options, images, folders }: Omit<Dataset, 'fingerprint'>): string {
  const parts = images.map((image) => {
    const { repeats, options: own } = folders[image.folder]
    const settings = { ...own, image_dir: undefined, num_repeats: repeats }
    const { name, contentHash, placement, caption } = image
    return [name, contentHash, placement.bucket, placement.resized, caption.text, settings]
  })
  const text = JSON.stringify([options.batch_size, options.alpha_background, parts])
  return createHash('sha256').update(text).digest('hex')
}
