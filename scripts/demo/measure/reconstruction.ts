/** How much of a drawing survives the autoencoder, on drawings of another hand than those it was trained on. */
import type { Pipeline } from '../../../lib/index'
import { openmojiSvg } from '../svg-files'
import { openmojiHexcodes, renderSvg, spread } from './drawings'
import { type Picture, psnr, toPicture, toValues } from './picture'

export interface ReconstructionFigures {
  pictures: number
  /** PSNR in dB of 8-bit pictures: mean over pictures, the worst one, and what nine in ten reach. */
  mean: number
  min: number
  percentile10: number
}

/** Drawings of OpenMoji on white, [128, 128], filling the picture as the package draws them, evenly spread. */
export function heldOutDrawings(count: number, size = 128): Promise<Picture[]> {
  const files = spread(openmojiHexcodes(), count).map((hexcode) => openmojiSvg(hexcode)!)
  return Promise.all(files.map((file) => renderSvg(file, { size, side: size })))
}

/** Encoded to the mean of the posterior, decoded. */
export async function reconstruct(pipe: Pipeline, picture: Picture): Promise<Picture> {
  const { mean } = await pipe.encodeImage(toValues(picture))
  const { scalingFactor } = pipe.base.config.vae
  const scaled = { data: mean.data.map((value) => value * scalingFactor), shape: mean.shape }
  return toPicture(await pipe.decodeLatents(scaled))
}

export function summarise(decibels: readonly number[]): ReconstructionFigures {
  const sorted = [...decibels].sort((a, b) => a - b)
  const mean = sorted.reduce((sum, value) => sum + value, 0) / sorted.length
  return { pictures: sorted.length, mean, min: sorted[0], percentile10: sorted[Math.floor(sorted.length / 10)] }
}

export async function measureReconstruction(
  pipe: Pipeline,
  pictures: readonly Picture[],
): Promise<{ figures: ReconstructionFigures; reconstructed: Picture[] }> {
  const reconstructed: Picture[] = []
  for (const picture of pictures) reconstructed.push(await reconstruct(pipe, picture))
  return { figures: summarise(pictures.map((picture, i) => psnr(picture, reconstructed[i]))), reconstructed }
}
