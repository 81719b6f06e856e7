/**
 * Aspect-ratio buckets: which size each image is resized and cropped to. The list of buckets and the choice agree
 * with kohya-ss/sd-scripts to the pixel (library/model_util.py `make_bucket_resolutions`, library/train_util.py
 * `BucketManager.select_bucket`), so that a dataset gives the same batches there and here; test/fixtures/buckets.json
 * holds its answers. No image is dropped: the only one refused is too small to fill a bucket without enlarging it.
 */

import { bucketLimits, DatasetOptions, resolutionOf, Size } from './options'

/** Where one image goes. */
export interface Placement {
  bucket: Size
  /** The size it is resized to before the centre crop; covers the bucket. */
  resized: Size
  /** Resized / original side; above 1 the image is enlarged. */
  scale: number
  /** Part of the resized image that the crop cuts off, 0 to 1. */
  cropped: number
}

export type BucketOptions = Pick<
  DatasetOptions,
  | 'resolution'
  | 'enable_bucket'
  | 'bucket_no_upscale'
  | 'bucket_reso_steps'
  | 'min_bucket_reso'
  | 'max_bucket_reso'
>

/** All sizes of about the given area whose sides are multiples of `steps` between `min` and `max`, sorted. */
export function bucketSizes(resolution: Size, min: number, max: number, steps: number): Size[] {
  const area = resolution.width * resolution.height
  const square = Math.floor(Math.sqrt(area) / steps) * steps
  const sizes = new Map<string, Size>([[`${square}x${square}`, { width: square, height: square }]])
  for (let side = min; side <= max; side += steps) {
    const other = Math.min(max, Math.floor(Math.floor(area / side) / steps) * steps)
    if (other < min) continue
    for (const [width, height] of [[side, other], [other, side]]) sizes.set(`${width}x${height}`, { width, height })
  }
  return [...sizes.values()].sort(bySize)
}

/** Order of buckets everywhere: by width, then height. */
export function bySize(a: Size, b: Size): number {
  return a.width - b.width || a.height - b.height
}

/** "512x768", width first. */
export function formatSize({ width, height }: Size): string {
  return `${width}x${height}`
}

/**
 * The rule that places images, for the given settings.
 * @returns a function from an image's size to its placement, or undefined when the image is too small to fill the
 *   smallest bucket (possible only with `bucket_no_upscale`)
 */
export function bucketRule(options: BucketOptions): (image: Size) => Placement | undefined {
  const resolution = resolutionOf(options)
  const steps = options.bucket_reso_steps
  if (!options.enable_bucket) return (image) => cover(image, resolution)
  if (options.bucket_no_upscale) return (image) => shrinkOnly(image, resolution.width * resolution.height, steps)
  const { min, max } = bucketLimits(options)
  const sizes = bucketSizes(resolution, min, max, steps)
  return (image) => cover(image, nearest(image, sizes))
}

/** The bucket of exactly the image's size, else the one with the nearest aspect ratio (the first, if two are). */
function nearest(image: Size, sizes: Size[]): Size {
  const aspect = image.width / image.height
  let best = sizes[0]
  for (const size of sizes) {
    if (size.width === image.width && size.height === image.height) return size
    if (Math.abs(size.width / size.height - aspect) < Math.abs(best.width / best.height - aspect)) best = size
  }
  return best
}

function cover(image: Size, bucket: Size): Placement {
  const wider = image.width / image.height > bucket.width / bucket.height
  const scale = wider ? bucket.height / image.height : bucket.width / image.width
  return placement(image, bucket, {
    width: Math.floor(image.width * scale + 0.5),
    height: Math.floor(image.height * scale + 0.5),
  })
}

/** Images above the area are shrunk to it along the side that fits `steps` better; others keep their size. */
function shrinkOnly(image: Size, maxArea: number, steps: number): Placement | undefined {
  const resized = image.width * image.height > maxArea ? shrinkToArea(image, maxArea, steps) : image
  const bucket = { width: resized.width - (resized.width % steps), height: resized.height - (resized.height % steps) }
  return bucket.width > 0 && bucket.height > 0 ? placement(image, bucket, resized) : undefined
}

function shrinkToArea(image: Size, maxArea: number, steps: number): Size {
  const aspect = image.width / image.height
  const idealWidth = Math.sqrt(maxArea * aspect)
  const idealHeight = maxArea / idealWidth
  const toSteps = (x: number) => Math.floor(Math.floor(x + 0.5) / steps) * steps
  const width = toSteps(idealWidth)
  const height = toSteps(idealHeight)
  const errorByWidth = Math.abs(width / toSteps(width / aspect) - aspect)
  const errorByHeight = Math.abs(toSteps(height * aspect) / height - aspect)
  return errorByWidth < errorByHeight
    ? { width, height: Math.floor(width / aspect + 0.5) }
    : { width: Math.floor(height * aspect + 0.5), height }
}

function placement(image: Size, bucket: Size, resized: Size): Placement {
  return {
    bucket,
    resized,
    scale: Math.max(resized.width / image.width, resized.height / image.height),
    cropped: 1 - (bucket.width * bucket.height) / (resized.width * resized.height),
  }
}
