/** 8-bit pictures as the measures take them: red, green, blue of each pixel, row by row. */
import sharp from 'sharp'
import type { Values } from '../../../lib/index'

export interface Picture {
  width: number
  height: number
  /** width * height * 3 */
  data: Uint8Array
}

/** As a PNG file would hold it: clamped, rounded as `encodePng` does. @param pixels [1, 3, H, W] in [-1, 1] */
export function toPicture({ data, shape }: Values): Picture {
  const [height, width] = [shape[2], shape[3]]
  const plane = height * width
  const bytes = new Uint8Array(plane * 3)
  for (let i = 0; i < plane; i++)
    for (let c = 0; c < 3; c++)
      bytes[i * 3 + c] = Math.round(Math.min(1, Math.max(0, data[c * plane + i] / 2 + 0.5)) * 255)
  return { width, height, data: bytes }
}

/** @returns pixels [1, 3, H, W] in [-1, 1] */
export function toValues({ width, height, data }: Picture): Values {
  const plane = width * height
  const values = new Float32Array(plane * 3)
  for (let i = 0; i < plane; i++) for (let c = 0; c < 3; c++) values[c * plane + i] = data[i * 3 + c] / 127.5 - 1
  return { data: values, shape: [1, 3, height, width] }
}

/** @param source a file's name or its bytes; on white where it is transparent, as large as it is unless told */
export async function readPicture(source: string | Buffer, side?: number): Promise<Picture> {
  let pipeline = sharp(source).flatten({ background: '#ffffff' }).toColourspace('srgb')
  if (side) pipeline = pipeline.resize(side, side, { fit: 'contain', background: '#ffffff' })
  const { data, info } = await pipeline.raw().toBuffer({ resolveWithObject: true })
  return { width: info.width, height: info.height, data: new Uint8Array(data) }
}

export function picturePng({ width, height, data }: Picture): Promise<Buffer> {
  return sharp(data, { raw: { width, height, channels: 3 } })
    .png()
    .toBuffer()
}

export function mirrored({ width, height, data }: Picture): Picture {
  const turned = new Uint8Array(data.length)
  for (let y = 0; y < height; y++)
    for (let x = 0; x < width; x++)
      for (let c = 0; c < 3; c++) turned[(y * width + width - 1 - x) * 3 + c] = data[(y * width + x) * 3 + c]
  return { width, height, data: turned }
}

/**
 * Peak signal to noise ratio in dB: 10 log10(255^2 / mean squared difference); infinite for equal pictures.
 * @throws Error when the sizes differ
 */
export function psnr(a: Picture, b: Picture): number {
  if (a.width !== b.width || a.height !== b.height) throw new Error('the pictures to compare have different sizes')
  let sum = 0
  for (let i = 0; i < a.data.length; i++) sum += (a.data[i] - b.data[i]) ** 2
  return 10 * Math.log10(255 ** 2 / (sum / a.data.length))
}
