/**
 * Song, Meng, Ermon, "Denoising Diffusion Implicit Models" (2021), equation 12 with eta = 0 (diffusers' DDIMScheduler
 * with set_alpha_to_one false: the last step goes to the first training timestep, not to 0).
 */
import {
  checkSteps, linear, predictedClean, roundHalfEven, type Sampler, sigmasAt, sigmaTable, spacedTimesteps,
} from './sampler'

export const ddim: Sampler = {
  name: 'ddim',
  label: 'DDIM',
  usesNoise: false,
  begin(schedule, steps, { prediction, spacing = 'leading', stepsOffset = 1 }) {
    checkSteps(schedule, steps)
    const timesteps = spacedTimesteps(schedule.steps, steps, spacing, stepsOffset).map(roundHalfEven)
    const stride = Math.floor(schedule.steps / steps)
    const a = (t: number) => schedule.alphasCumprod[Math.max(t, 0)]!
    const sigmas = sigmasAt(sigmaTable(schedule), timesteps)
    sigmas[steps] = sigmaTable(schedule)[Math.max(timesteps[steps - 1]! - stride, 0)]!
    return {
      timesteps,
      sigmas,
      initNoiseSigma: 1,
      scaleInput: (x) => x,
      step(x, output, i) {
        const [now, next] = [a(timesteps[i]!), a(timesteps[i]! - stride)]
        const [signal, noise] = [Math.sqrt(now), Math.sqrt(1 - now)]
        const clean = predictedClean(prediction, x, output, signal, noise)
        const direction = prediction === 'epsilon' ? output : linear(noise, x, signal, output)
        return linear(Math.sqrt(next), clean, Math.sqrt(1 - next), direction)
      },
    }
  },
}
