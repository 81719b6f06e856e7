/**
 * Euler ancestral: each step goes a little further down than it should and adds fresh noise (k-diffusion's
 * sample_euler_ancestral with eta = 1; diffusers' EulerAncestralDiscreteScheduler).
 */
import { derivative, sigmaSpace } from './euler'
import { linear, type Sampler } from './sampler'

export const eulerA: Sampler = {
  name: 'euler_a',
  label: 'Euler a',
  usesNoise: true,
  begin(schedule, steps, options) {
    const base = sigmaSpace(schedule, steps, options, false)
    const { sigmas } = base
    return {
      ...base,
      step(x, output, i, noise) {
        const [from, to] = [sigmas[i]!, sigmas[i + 1]!]
        const up = Math.sqrt(to ** 2 * (from ** 2 - to ** 2) / from ** 2)
        const down = Math.sqrt(to ** 2 - up ** 2)
        if (up > 0 && !noise) throw new RangeError('euler_a needs noise at every step but the last')
        return linear(1, x, down - from, derivative(options.prediction, x, output, from), up, noise)
      },
    }
  },
}
