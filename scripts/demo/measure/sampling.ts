/** Pictures of the demo's base model as the checks draw them: one a prompt, each with a seed of its own. */
import { generate, type LoraUse, type Pipeline, type Values } from '../../../lib/index'
import { type Picture, toPicture } from './picture'

export const pictureSize = 128

export interface Sampling {
  steps: number
  cfg: number
  sampler: string
  /** Of the first prompt; the next ones have the next numbers. */
  seed: number
}

export interface Drawn {
  pictures: Picture[]
  /** Scaled, of each prompt. */
  latents: Values[]
}

/** @param loras what lies on the base; an empty list is the base alone */
export async function drawPictures(
  pipe: Pipeline,
  prompts: readonly string[],
  { seed, ...settings }: Sampling,
  { loras = [], onPicture }: { loras?: readonly LoraUse[]; onPicture?: (done: number, of: number) => void } = {},
): Promise<Drawn> {
  await pipe.applyLoras(loras)
  const drawn: Drawn = { pictures: [], latents: [] }
  for (const [i, prompt] of prompts.entries()) {
    const size = { width: pictureSize, height: pictureSize }
    const { images, latents } = await generate(pipe, { prompt, ...settings, ...size, seed: seed + i })
    drawn.pictures.push(toPicture(images[0]))
    drawn.latents.push(latents)
    onPicture?.(i + 1, prompts.length)
  }
  return drawn
}

/** A line of progress now and then. */
export function progress(what: string): (done: number, of: number) => void {
  const started = Date.now()
  return (done, of) => {
    if (done !== of && done % 20 !== 0) return
    console.log(`  ${what}: ${done} of ${of}, ${((Date.now() - started) / 1000 / done).toFixed(2)} s each`)
  }
}
