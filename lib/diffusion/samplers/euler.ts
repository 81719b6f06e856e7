/**
 * Euler's method for the probability flow ODE in sigma (Karras et al. 2022, algorithm 2 without churn; diffusers'
 * EulerDiscreteScheduler). Latents are x0 + sigma * noise; the network gets them scaled back to unit variance.
 */
import type { NoiseSchedule, Prediction } from '../schedules'
import {
  checkSteps, karrasSigmas, linear, type Sampler, type SamplerOptions, type SamplerRun, sigmasAt, sigmaTable,
  spacedTimesteps, timestepOf,
} from './sampler'

export const euler: Sampler = {
  name: 'euler',
  label: 'Euler',
  usesNoise: false,
  begin: (schedule, steps, options) => eulerRun(schedule, steps, options, false),
}

export const eulerKarras: Sampler = {
  name: 'euler_karras',
  label: 'Euler Karras',
  usesNoise: false,
  begin: (schedule, steps, options) => eulerRun(schedule, steps, options, true),
}

function eulerRun(schedule: NoiseSchedule, steps: number, options: SamplerOptions, karras: boolean): SamplerRun {
  const base = sigmaSpace(schedule, steps, options, karras)
  const { sigmas } = base
  return {
    ...base,
    step: (x, output, i) =>
      linear(1, x, sigmas[i + 1]! - sigmas[i]!, derivative(options.prediction, x, output, sigmas[i]!)),
  }
}

/** Timesteps, noise levels and scaling of samplers that work on x0 + sigma * noise. */
export function sigmaSpace(
  schedule: NoiseSchedule, steps: number, { spacing, stepsOffset = 1 }: SamplerOptions, karras: boolean,
): Omit<SamplerRun, 'step'> {
  checkSteps(schedule, steps)
  const table = sigmaTable(schedule)
  const chosen = spacing ?? (karras ? 'linspace' : 'leading')
  const spaced = spacedTimesteps(schedule.steps, steps, chosen, stepsOffset)
  const sigmas = karras ? karrasSigmas(table, steps) : sigmasAt(table, spaced)
  return {
    timesteps: karras ? sigmas.slice(0, steps).map((sigma) => timestepOf(table, sigma)) : spaced,
    sigmas,
    // Leading spacing leaves the noisiest timesteps out; the start then counts the signal's unit variance too.
    initNoiseSigma: chosen === 'leading' ? Math.sqrt(sigmas[0]! ** 2 + 1) : sigmas[0]!,
    scaleInput: (x, i) => x.map((value) => value / Math.sqrt(sigmas[i]! ** 2 + 1)),
  }
}

/** dx / dsigma = (x - x0) / sigma, which is the predicted noise. */
export function derivative(
  prediction: Prediction, x: Float32Array, output: Float32Array, sigma: number,
): Float32Array {
  if (prediction === 'epsilon') return output
  // x0 = x / (sigma^2 + 1) - v sigma / sqrt(sigma^2 + 1)
  const variance = sigma ** 2 + 1
  return linear(sigma / variance, x, 1 / Math.sqrt(variance), output)
}
