/** Two figures of a drawing style: how much black line there is, and how strong edges are. */
import type { Picture } from './picture'

/**
 * Below this luminance (0 to 255) a pixel counts as black line: nearer to black than to Twemoji's darkest colour, #292F33 of
 * luminance 46, with which it fills whole bodies.
 */
export const outlineLuminance = 23

/** Rec. 601 luma of 8-bit sRGB values, 0 to 255. */
export function luminance({ width, height, data }: Picture): Float32Array {
  const luma = new Float32Array(width * height)
  for (let i = 0; i < luma.length; i++)
    luma[i] = 0.299 * data[i * 3] + 0.587 * data[i * 3 + 1] + 0.114 * data[i * 3 + 2]
  return luma
}

/** Share of near-black pixels, 0 to 1. */
export function outlineShare(picture: Picture): number {
  const luma = luminance(picture)
  let black = 0
  for (const value of luma) if (value < outlineLuminance) black++
  return black / luma.length
}

/**
 * Mean length of the Sobel gradient of the luminance over all pixels but the border's; luminance from 0 to 1, so that a
 * step from black to white gives 4 in the two pixels beside it.
 */
export function edgeStrength(picture: Picture): number {
  const { width, height } = picture
  const luma = luminance(picture)
  let sum = 0
  for (let y = 1; y < height - 1; y++)
    for (let x = 1; x < width - 1; x++) {
      const at = (dx: number, dy: number) => luma[(y + dy) * width + x + dx]
      const gx = at(1, -1) + 2 * at(1, 0) + at(1, 1) - at(-1, -1) - 2 * at(-1, 0) - at(-1, 1)
      const gy = at(-1, 1) + 2 * at(0, 1) + at(1, 1) - at(-1, -1) - 2 * at(0, -1) - at(1, -1)
      sum += Math.hypot(gx, gy)
    }
  return sum / 255 / ((width - 2) * (height - 2))
}

export interface StyleFigures {
  outlineShare: number
  edgeStrength: number
}

/** Means over pictures. */
export function styleFigures(pictures: readonly Picture[]): StyleFigures {
  const mean = (figure: (picture: Picture) => number) =>
    pictures.reduce((sum, picture) => sum + figure(picture), 0) / pictures.length
  return { outlineShare: mean(outlineShare), edgeStrength: mean(edgeStrength) }
}
