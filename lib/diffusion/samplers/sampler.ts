/**
 * What samplers have in common. A sampler turns noise into latents in a few steps, asking the network once in each:
 *
 *     const run = sampler.begin(schedule, 20, { prediction: 'epsilon' })
 *     let x = noise times run.initNoiseSigma
 *     for each i: x = run.step(x, network(run.scaleInput(x, i), run.timesteps[i]), i, fresh noise if usesNoise)
 *
 * Timesteps, noise levels and formulas are those of diffusers' schedulers of the same name with the configuration of
 * Stable Diffusion 1.5. Noise levels are written as sigma = sqrt((1 - a) / a).
 */
import { LorikeetError } from '../../base/errors'
import type { NoiseSchedule, Prediction } from '../schedules'

/** How timesteps are spread over the schedule (Lin et al. 2024, table 2). */
export const spacings = ['leading', 'trailing', 'linspace'] as const
export type Spacing = typeof spacings[number]

export interface SamplerOptions {
  prediction: Prediction
  /** Default: the sampler's own. Karras variants choose noise levels instead. */
  spacing?: Spacing
  /** Added to the timesteps of leading spacing; 1 for Stable Diffusion. */
  stepsOffset?: number
}

export interface SamplerRun {
  /** [steps] as the network gets them; not always whole numbers. */
  readonly timesteps: Float64Array
  /** [steps + 1] the noise level before each step and after the last. */
  readonly sigmas: Float64Array
  /** The initial latents are standard normal noise times this. */
  readonly initNoiseSigma: number
  /** What the network gets at step i. */
  scaleInput(x: Float32Array, i: number): Float32Array
  /** Latents after step i. `output`: of the network (guided); `noise`: standard normal, where the sampler uses it. */
  step(x: Float32Array, output: Float32Array, i: number, noise?: Float32Array): Float32Array
}

export interface Sampler {
  /** On the command line and in recipes. */
  readonly name: string
  readonly label: string
  /** Whether `step` needs fresh noise (ancestral and SDE samplers). */
  readonly usesNoise: boolean
  /** `steps`: 1 .. the schedule's. */
  begin(schedule: NoiseSchedule, steps: number, options: SamplerOptions): SamplerRun
}

export function checkSteps(schedule: NoiseSchedule, steps: number): void {
  if (!Number.isInteger(steps) || steps < 1 || steps > schedule.steps) {
    throw new LorikeetError('usage', 'the number of steps does not fit the noise schedule', {
      where: 'steps', expected: `a whole number from 1 to ${schedule.steps}`, received: String(steps) })
  }
}

/** sigma of every training timestep. The smallest a that is not 0 stands for a = 0, so that all are finite. */
export function sigmaTable({ alphasCumprod }: NoiseSchedule): Float64Array {
  return alphasCumprod.map((a) => Math.sqrt((1 - a) / Math.max(a, 2 ** -24)))
}

/** Timesteps from the noisiest on, for samplers that treat the last training timestep as the first step. */
export function spacedTimesteps(total: number, steps: number, spacing: Spacing, stepsOffset: number): Float64Array {
  switch (spacing) {
    case 'leading': return leading(total, steps, steps, stepsOffset)
    case 'trailing': return Float64Array.from({ length: steps }, (_, i) => roundHalfEven(total - i * total / steps) - 1)
    case 'linspace':
      return Float64Array.from({ length: steps }, (_, i) => (total - 1) * (1 - i / Math.max(steps - 1, 1)))
  }
}

/** i * ratio + offset from the largest i down, with the ratio that divides the schedule into `parts`. */
export function leading(total: number, parts: number, steps: number, stepsOffset: number): Float64Array {
  const ratio = Math.floor(total / parts)
  return Float64Array.from({ length: steps }, (_, i) => Math.min((parts - 1 - i) * ratio + stepsOffset, total - 1))
}

/** numpy's rounding. */
export function roundHalfEven(x: number): number {
  const rounded = Math.round(x)
  return Math.abs(x % 1) === 0.5 && rounded % 2 !== 0 ? rounded - 1 : rounded
}

/** sigma at fractional timesteps (linear interpolation), then 0. */
export function sigmasAt(table: Float64Array, timesteps: Float64Array): Float64Array {
  const sigmas = new Float64Array(timesteps.length + 1)
  timesteps.forEach((t, i) => {
    const low = Math.floor(t)
    const high = Math.min(low + 1, table.length - 1)
    sigmas[i] = table[low]! + (table[high]! - table[low]!) * (t - low)
  })
  return sigmas
}

/**
 * Noise levels of Karras, Aittala, Aila, Laine, "Elucidating the Design Space of Diffusion-Based Generative Models"
 * (2022), equation 5 with rho = 7, then 0.
 */
export function karrasSigmas(table: Float64Array, steps: number): Float64Array {
  const rho = 7
  const largest = table[table.length - 1]! ** (1 / rho)
  const smallest = table[0]! ** (1 / rho)
  const sigmas = new Float64Array(steps + 1)
  for (let i = 0; i < steps; i++) {
    sigmas[i] = (largest + i / Math.max(steps - 1, 1) * (smallest - largest)) ** rho
  }
  return sigmas
}

/** The fractional timestep of a noise level: linear interpolation in log sigma. */
export function timestepOf(table: Float64Array, sigma: number): number {
  const last = table.length - 1
  let low = 0
  while (low < last - 1 && table[low + 1]! <= sigma) low++
  const [below, above] = [Math.log(table[low]!), Math.log(table[low + 1]!)]
  return low + Math.min(Math.max((Math.log(sigma) - below) / (above - below), 0), 1)
}

/**
 * The clean latents that the network's output implies, for x = signal * x0 + noise * e with signal^2 + noise^2 = 1:
 * x0 = (x - noise * output) / signal for noise, signal * x - noise * output for v.
 */
export function predictedClean(
  prediction: Prediction, x: Float32Array, output: Float32Array, signal: number, noise: number,
): Float32Array {
  return prediction === 'epsilon'
    ? linear(1 / signal, x, -noise / signal, output)
    : linear(signal, x, -noise, output)
}

/** a * x + b * y (+ c * z). */
export function linear(
  a: number, x: Float32Array, b: number, y: Float32Array, c = 0, z: Float32Array = y,
): Float32Array {
  if (x.length !== y.length || x.length !== z.length) {
    throw new RangeError(`latents of different sizes: ${x.length}, ${y.length}, ${z.length}`)
  }
  const out = new Float32Array(x.length)
  if (c === 0) for (let i = 0; i < out.length; i++) out[i] = a * x[i]! + b * y[i]!
  else for (let i = 0; i < out.length; i++) out[i] = a * x[i]! + b * y[i]! + c * z[i]!
  return out
}
