/**
 * DPM-Solver++(2M): Lu, Zhou, Bao, Chen, Li, Zhu, "DPM-Solver++: Fast Solver for Guided Sampling of Diffusion
 * Probabilistic Models" (2022), algorithm 2 (diffusers' DPMSolverMultistepScheduler, order 2, final sigma 0). Latents
 * keep unit variance: x = A x0 + S noise with A = 1 / sqrt(1 + sigma^2), S = sigma A; lambda = -ln sigma.
 */
import type { NoiseSchedule } from '../schedules'
import {
  checkSteps, karrasSigmas, leading, linear, predictedClean, roundHalfEven, type Sampler, type SamplerOptions,
  type SamplerRun, sigmasAt, sigmaTable, spacedTimesteps, timestepOf,
} from './sampler'

export const dpmpp2m: Sampler = {
  name: 'dpmpp_2m',
  label: 'DPM++ 2M',
  usesNoise: false,
  begin: (schedule, steps, options) => dpmppRun(schedule, steps, options, { karras: false, stochastic: false }),
}

export const dpmpp2mKarras: Sampler = {
  name: 'dpmpp_2m_karras',
  label: 'DPM++ 2M Karras',
  usesNoise: false,
  begin: (schedule, steps, options) => dpmppRun(schedule, steps, options, { karras: true, stochastic: false }),
}

/** `stochastic`: the SDE of the same paper (dpmpp-2m-sde.ts). */
export function dpmppRun(
  schedule: NoiseSchedule, steps: number, options: SamplerOptions,
  { karras, stochastic }: { karras: boolean, stochastic: boolean },
): SamplerRun {
  checkSteps(schedule, steps)
  const table = sigmaTable(schedule)
  const spaced = dpmppTimesteps(schedule.steps, steps, options)
  const sigmas = karras ? karrasSigmas(table, steps) : sigmasAt(table, spaced)
  const timesteps = karras ? sigmas.slice(0, steps).map((sigma) => roundHalfEven(timestepOf(table, sigma))) : spaced
  const signal = sigmas.map((sigma) => 1 / Math.sqrt(1 + sigma ** 2)) // A
  const noiseLevel = sigmas.map((sigma, i) => sigma * signal[i]!) // S
  const lambda = sigmas.map((sigma) => -Math.log(sigma))

  let previous: { i: number, clean: Float32Array } | undefined
  return {
    timesteps,
    sigmas,
    initNoiseSigma: 1,
    scaleInput: (x) => x,
    step(x, output, i, noise) {
      const clean = predictedClean(options.prediction, x, output, signal[i]!, noiseLevel[i]!)
      const before = previous?.i === i - 1 ? previous.clean : undefined
      previous = { i, clean }
      if (sigmas[i + 1] === 0) return clean

      // Second order: the line through this and the last estimate, half a step ahead.
      const h = lambda[i + 1]! - lambda[i]!
      const r = i > 0 ? (lambda[i]! - lambda[i - 1]!) / h : 1
      const ahead = before ? linear(1 + 1 / (2 * r), clean, -1 / (2 * r), before) : clean
      const shrink = noiseLevel[i + 1]! / noiseLevel[i]!
      if (!stochastic) return linear(shrink, x, -signal[i + 1]! * Math.expm1(-h), ahead)
      if (!noise) throw new RangeError('an SDE sampler needs noise at every step but the last')
      const decay = -Math.expm1(-2 * h)
      return linear(
        shrink * Math.exp(-h), x, signal[i + 1]! * decay, ahead, noiseLevel[i + 1]! * Math.sqrt(decay), noise)
    },
  }
}

/** DPM-Solver divides the schedule into steps + 1 points, of which the last is the clean end. */
function dpmppTimesteps(
  total: number, steps: number, { spacing = 'leading', stepsOffset = 1 }: SamplerOptions,
): Float64Array {
  switch (spacing) {
    case 'leading': return leading(total, steps + 1, steps, stepsOffset)
    case 'trailing': return spacedTimesteps(total, steps, spacing, stepsOffset)
    case 'linspace':
      return Float64Array.from({ length: steps }, (_, i) => roundHalfEven((total - 1) * (steps - i) / steps))
  }
}
