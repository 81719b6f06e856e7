/**
 * Discrete noise schedules of DDPM models (Ho, Jain, Abbeel, "Denoising Diffusion Probabilistic Models", 2020): at
 * timestep t a latent is  x_t = sqrt(a_t) x_0 + sqrt(1 - a_t) noise,  a_t the product of (1 - beta) up to t.
 *
 * Tables are in double precision; the peers compute them in f32.
 */
import type { z } from 'zod'

/** What the network predicts: the noise, or v = sqrt(a) noise - sqrt(1 - a) x_0 (Salimans and Ho 2022). */
export type Prediction = 'epsilon' | 'v_prediction'

export const predictions: readonly Prediction[] = ['epsilon', 'v_prediction']

export interface NoiseSchedule {
  /** Number of training timesteps, the length of all tables. */
  steps: number
  betas: Float64Array
  /** a_t */
  alphasCumprod: Float64Array
  /**
   * Signal-to-noise ratio a / (1 - a) for loss weights. As in sd-scripts it belongs to the schedule before it is
   * rescaled to zero terminal SNR; weights would be 0 or infinite at the last timestep otherwise.
   */
  snr: Float64Array
}

/** A way to make a schedule; one file per kind, listed in index.ts. */
export interface ScheduleKind<Name extends string = string, Schema extends z.ZodType = z.ZodType> {
  readonly name: Name
  readonly label: string
  readonly options: Schema
  betas(options: z.output<Schema>): Float64Array
}

export function defineSchedule<Name extends string, Schema extends z.ZodType>(kind: ScheduleKind<Name, Schema>) {
  return kind
}

export function scheduleOf(betas: Float64Array, zeroTerminalSnr = false): NoiseSchedule {
  const cumprod = cumulativeProduct(betas)
  const snr = cumprod.map((a) => a / (1 - a))
  if (!zeroTerminalSnr) return { steps: betas.length, betas, alphasCumprod: cumprod, snr }
  const alphasCumprod = toZeroTerminalSnr(cumprod)
  const rescaled = alphasCumprod.map((a, t) => 1 - a / (t === 0 ? 1 : alphasCumprod[t - 1]!))
  return { steps: betas.length, betas: rescaled, alphasCumprod, snr }
}

function cumulativeProduct(betas: Float64Array): Float64Array {
  let product = 1
  return betas.map((beta) => (product *= 1 - beta))
}

/**
 * Shifts and scales sqrt(a) so that the last is 0 and the first stays (Lin, Liu, Li, Yang, "Common Diffusion Noise
 * Schedules and Sample Steps are Flawed", 2024, algorithm 1).
 */
function toZeroTerminalSnr(alphasCumprod: Float64Array): Float64Array {
  const roots = alphasCumprod.map(Math.sqrt)
  const first = roots[0]!
  const last = roots[roots.length - 1]!
  return roots.map((root) => ((root - last) * first / (first - last)) ** 2)
}

/** sqrt(a_t) and sqrt(1 - a_t): the factors of signal and noise in x_t. */
export function noiseCoefficients(schedule: NoiseSchedule, timestep: number): { signal: number, noise: number } {
  const a = schedule.alphasCumprod[timestep]
  if (a === undefined) throw new RangeError(`timestep ${timestep} is not in 0..${schedule.steps - 1}`)
  return { signal: Math.sqrt(a), noise: Math.sqrt(1 - a) }
}

/**
 * x_t for a batch.
 * @param latents, noise [N, ...] of equal length
 * @param timesteps [N] whole numbers
 */
export function addNoise(
  schedule: NoiseSchedule, latents: Float32Array, noise: Float32Array, timesteps: readonly number[],
): Float32Array {
  return combine(latents, noise, timesteps.map((t) => noiseCoefficients(schedule, t)))
}

/** What the network should predict for a batch; arguments as for `addNoise`. */
export function targetOf(
  schedule: NoiseSchedule, prediction: Prediction, latents: Float32Array, noise: Float32Array,
  timesteps: readonly number[],
): Float32Array {
  if (prediction === 'epsilon') return noise
  return combine(latents, noise, timesteps.map((t) => {
    const { signal, noise: sigma } = noiseCoefficients(schedule, t)
    return { signal: -sigma, noise: signal }
  }))
}

function combine(
  latents: Float32Array, noise: Float32Array, factors: readonly { signal: number, noise: number }[],
): Float32Array {
  const size = latents.length / factors.length
  if (latents.length !== noise.length || !Number.isInteger(size)) {
    throw new RangeError(
      `${latents.length} latents, ${noise.length} noise values and ${factors.length} timesteps do not match`)
  }
  const out = new Float32Array(latents.length)
  factors.forEach((factor, n) => {
    for (let i = n * size; i < (n + 1) * size; i++) out[i] = factor.signal * latents[i]! + factor.noise * noise[i]!
  })
  return out
}
