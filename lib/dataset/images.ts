/**
 * Image files to pixels, with sharp (libvips). Whatever the file holds (EXIF rotation, an ICC profile, transparency,
 * grey, CMYK, 16 bits, several frames), what comes out is one upright sRGB picture of 8 bits a channel; what was
 * converted is said in `traits`. A file that cannot be used gives a named reason, never a crash.
 *
 * Resizing is Lanczos-3 both ways, over an antialiased window when shrinking. sd-scripts takes cv2.INTER_AREA for
 * shrinking and Lanczos for enlarging: the same framing, slightly softer pixels.
 */

import { createHash } from 'node:crypto'
import { readFile } from 'node:fs/promises'
import sharp from 'sharp'
import { LorikeetError } from '../base/errors'
import { Placement } from './buckets'
import { Size } from './options'
import { Skipped, SkipReason } from './scan'

/** Something about a file that was converted on the way in. */
export type ImageTrait =
  | 'rotated by EXIF'
  | 'transparent'
  | 'greyscale'
  | 'CMYK'
  | '16 bits a channel'
  | 'colour profile'
  | 'several frames'

export interface ImageInfo {
  /** Upright, that is after EXIF rotation. */
  size: Size
  /** sha256 of the file, in hex. */
  contentHash: string
  traits: ImageTrait[]
}

/** Shorter sides below this make no latent pixel. */
const smallestSide = 8

/** What the decoder makes of a file depends on these; part of every cache key. */
export const decoderId = `lorikeet-1 vips-${sharp.versions.vips}`

const formats = ['png', 'jpeg', 'webp', 'heif', 'tiff', 'gif'] // AVIF reads as heif

/**
 * Reads a file once: its hash, its upright size, and whether all of it decodes.
 * @returns the facts, or why the file cannot be used
 */
export async function inspectImage(file: string): Promise<ImageInfo | Skipped> {
  const skip = (reason: SkipReason, detail?: string, fix?: string): Skipped => ({ path: file, reason, detail, fix })
  const bytes = await readFile(file).catch(() => undefined)
  if (!bytes) return skip('unreadable', undefined, 'check its permissions')
  if (bytes.length === 0) return skip('empty file', '0 bytes', 'copy it again from the source')
  try {
    const meta = await open(bytes).metadata()
    const { width, height } = meta.autoOrient
    if (!formats.includes(meta.format)) return skip('unsupported format', meta.format, 'convert it to PNG')
    if (Math.min(width, height) < smallestSide) return skip('too small', `${width}x${height}`)
    const small = await open(bytes).resize(32, 32, { fit: 'fill' }).raw().toBuffer() // reads all: truncation shows here
    return { size: { width, height }, contentHash: sha256(bytes), traits: traitsOf(meta, isTransparent(small)) }
  } catch (error) {
    return skip('damaged', firstLine(error), 'export it again, for example as PNG')
  }
}

export function isSkipped(result: ImageInfo | Skipped): result is Skipped {
  return 'reason' in result
}

/** `pixels` is [32, 32, channels]; many files have an alpha channel and no transparent pixel. */
function isTransparent(pixels: Buffer): boolean {
  const channels = pixels.length / (32 * 32)
  if (channels === 3) return false
  return pixels.some((value, i) => i % channels === channels - 1 && value < 255)
}

function traitsOf(meta: sharp.Metadata, transparent: boolean): ImageTrait[] {
  const traits: [ImageTrait, boolean][] = [
    ['rotated by EXIF', (meta.orientation ?? 1) > 1],
    ['transparent', transparent],
    ['greyscale', meta.space === 'b-w' || meta.space === 'grey16'],
    ['CMYK', meta.space === 'cmyk'],
    ['16 bits a channel', meta.depth === 'ushort' || meta.depth === 'float'],
    ['colour profile', meta.icc !== undefined && !isSrgb(meta.icc)],
    ['several frames', (meta.pages ?? 1) > 1],
  ]
  return traits.filter(([, holds]) => holds).map(([trait]) => trait)
}

/** Profiles name themselves in their description; one that says sRGB changes nothing worth telling. */
function isSrgb(profile: Buffer): boolean {
  return profile.toString('latin1').replaceAll('\0', '').includes('sRGB')
}

/** What to do with one image, and how to recognise that it is still the file that was inspected. */
export interface DecodeRequest {
  path: string
  placement: Placement
  flip: boolean
  /** The colour behind transparent pixels, `#rrggbb`. */
  background?: string
  /** sha256 of the file; a different one is refused. */
  contentHash?: string
}

/**
 * Resizes to cover the bucket, crops the centre, mirrors if asked.
 * @returns [3, H, W], row by row, -1 (black) to 1 (white), with H and W of the bucket
 * @throws LorikeetError of kind input naming the file, when it changed or does not decode
 */
export async function decodeForBucket(request: DecodeRequest): Promise<Float32Array> {
  const { width, height } = request.placement.bucket
  return toPlanes(await cropToBucket(request), width, height, request.flip)
}

/** 8-bit RGB, [H, W, 3], of the bucket's size. */
async function cropToBucket(request: DecodeRequest): Promise<Buffer> {
  const { path: file, background = '#ffffff', contentHash } = request
  const { bucket, resized } = request.placement
  const bytes = await readFile(file).catch((cause: unknown) => {
    throw new LorikeetError('input', 'the image is gone', { where: file, fix: 'Start again', cause })
  })
  if (contentHash !== undefined && sha256(bytes) !== contentHash) {
    const problem = 'the image changed while the dataset was prepared'
    throw new LorikeetError('input', problem, { where: file, fix: 'Start again' })
  }
  try {
    const { data, info } = await open(bytes)
      .autoOrient()
      .flatten({ background })
      .resize(resized.width, resized.height, { fit: 'fill', kernel: 'lanczos3' })
      .extract({ ...centre(resized, bucket), ...bucket })
      .toColourspace('srgb')
      .raw({ depth: 'uchar' })
      .toBuffer({ resolveWithObject: true })
    if (info.channels !== 3) throw new Error(`decoded to ${info.channels} channels`)
    return data
  } catch (cause) {
    throw new LorikeetError('input', `the image does not decode: ${firstLine(cause)}`, { where: file, cause })
  }
}

/** Odd remainders lie on the right and below, as in sd-scripts. */
function centre(resized: Size, bucket: Size): { left: number; top: number } {
  return { left: Math.floor((resized.width - bucket.width) / 2), top: Math.floor((resized.height - bucket.height) / 2) }
}

function toPlanes(rgb: Buffer, width: number, height: number, flip: boolean): Float32Array {
  const planes = new Float32Array(3 * height * width)
  for (let c = 0; c < 3; c++) {
    for (let y = 0; y < height; y++) {
      const row = (c * height + y) * width
      for (let x = 0; x < width; x++) {
        const from = flip ? width - 1 - x : x
        planes[row + x] = rgb[(y * width + from) * 3 + c] / 127.5 - 1
      }
    }
  }
  return planes
}

/** Serious errors and truncation fail; mere warnings do not. Of several frames the first is read. */
function open(bytes: Buffer): sharp.Sharp {
  return sharp(bytes, { failOn: 'error', page: 0, pages: 1 })
}

function sha256(bytes: Buffer): string {
  return createHash('sha256').update(bytes).digest('hex')
}

function firstLine(error: unknown): string {
  return String(error instanceof Error ? error.message : error).split('\n')[0].trim()
}
