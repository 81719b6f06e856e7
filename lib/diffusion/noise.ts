/**
 * Changes to the training noise, as in sd-scripts (library/custom_train_functions.py, train_util.py). All work on
 * [N, C, H, W] in the files' order and return new arrays.
 */
import { z } from 'zod'
import { philoxNormal, philoxUniform, type PhiloxKey } from '../base/philox'

export type LatentShape = readonly [n: number, c: number, h: number, w: number]

/** Random numbers for one step. */
export interface NoiseSource {
  normal(count: number): Float32Array
  /** One number in [0, 1). */
  uniform(): number
}

/** Numbers of (seed, step); each call takes the next stream from `key.stream` on. */
export function philoxSource(key: PhiloxKey): NoiseSource {
  let stream = key.stream
  return {
    normal: (count) => philoxNormal({ ...key, stream: stream++ }, new Float32Array(count)),
    uniform: () => philoxUniform({ ...key, stream: stream++ }, new Float32Array(1))[0]!,
  }
}

export const noiseOffsetOptions = z.strictObject({
  strength: z.number().nonnegative(),
  /** Added to the strength for each channel: this times |mean of the latents over H and W|. */
  adaptive: z.number().default(0),
  /** Draws the strength anew in each step, evenly from 0 to `strength`. */
  random: z.boolean().default(false),
})

/** Lets a model learn dark and bright pictures: adds strength * normal number to each channel as a whole. */
export function noiseOffset(
  noise: Float32Array, latents: Float32Array, [n, c, h, w]: LatentShape,
  { strength, adaptive, random }: z.infer<typeof noiseOffsetOptions>, source: NoiseSource,
): Float32Array {
  const base = random ? strength * source.uniform() : strength
  const shifts = source.normal(n * c)
  const out = noise.slice()
  const size = h * w
  for (let channel = 0; channel < n * c; channel++) {
    const begin = channel * size
    let mean = 0
    if (adaptive !== 0) for (let i = begin; i < begin + size; i++) mean += latents[i]! / size
    const offset = Math.max(0, base + adaptive * Math.abs(mean)) * shifts[channel]!
    for (let i = begin; i < begin + size; i++) out[i]! += offset
  }
  return out
}

export const inputPerturbationOptions = z.strictObject({
  strength: z.number().nonnegative(),
  random: z.boolean().default(false),
})

/**
 * Ning et al., "Input Perturbation Reduces Exposure Bias in Diffusion Models" (2023): the noise that is added to the
 * latents, while the target keeps the noise without it.
 */
export function inputPerturbation(
  noise: Float32Array, { strength, random }: z.infer<typeof inputPerturbationOptions>, source: NoiseSource,
): Float32Array {
  const factor = random ? strength * source.uniform() : strength
  const extra = source.normal(noise.length)
  return noise.map((value, i) => value + factor * extra[i]!)
}

export const multiresNoiseOptions = z.strictObject({
  iterations: z.int().min(1).default(6),
  discount: z.number().positive().max(1).default(0.3),
})

/**
 * Pyramid noise: adds enlarged coarser noise, level i with the factor discount^i, and divides by the standard deviation
 * of the whole batch.
 */
export function multiresNoise(
  noise: Float32Array, [n, c, h, w]: LatentShape, { iterations, discount }: z.infer<typeof multiresNoiseOptions>,
  source: NoiseSource,
): Float32Array {
  const out = noise.slice()
  for (let level = 0; level < iterations; level++) {
    const ratio = (source.uniform() * 2 + 2) ** level
    const [rows, columns] = [Math.max(1, Math.trunc(h / ratio)), Math.max(1, Math.trunc(w / ratio))]
    const coarse = source.normal(n * c * rows * columns)
    for (let plane = 0; plane < n * c; plane++) {
      const from = coarse.subarray(plane * rows * columns, (plane + 1) * rows * columns)
      addEnlarged(out.subarray(plane * h * w, (plane + 1) * h * w), h, w, from, rows, columns, discount ** level)
    }
    if (rows === 1 || columns === 1) break
  }
  const deviation = standardDeviation(out)
  return out.map((value) => value / deviation)
}

/** out += factor * bilinear enlargement of `from` (pixel centres at halves, edges repeated, as torch does). */
function addEnlarged(
  out: Float32Array, h: number, w: number, from: Float32Array, rows: number, columns: number, factor: number,
): void {
  for (let y = 0; y < h; y++) {
    const [top, bottom, fy] = neighbours(y, h, rows)
    for (let x = 0; x < w; x++) {
      const [left, right, fx] = neighbours(x, w, columns)
      const upper = from[top * columns + left]! * (1 - fx) + from[top * columns + right]! * fx
      const lower = from[bottom * columns + left]! * (1 - fx) + from[bottom * columns + right]! * fx
      out[y * w + x]! += factor * (upper * (1 - fy) + lower * fy)
    }
  }
}

/** The two source indices around target index i, and the share of the second. */
function neighbours(i: number, size: number, sourceSize: number): [low: number, high: number, share: number] {
  const position = Math.max(0, (i + 0.5) * sourceSize / size - 0.5)
  const low = Math.min(Math.floor(position), sourceSize - 1)
  return [low, Math.min(low + 1, sourceSize - 1), position - low]
}

/** With n - 1, as torch.std. */
function standardDeviation(values: Float32Array): number {
  const mean = values.reduce((sum, value) => sum + value, 0) / values.length
  return Math.sqrt(values.reduce((sum, value) => sum + (value - mean) ** 2, 0) / (values.length - 1))
}
