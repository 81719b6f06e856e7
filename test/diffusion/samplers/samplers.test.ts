import test from 'ava'
import { LorikeetError } from '../../../lib/base/errors'
import { philoxNormal } from '../../../lib/base/philox'
import { findSampler, samplers, type SamplerOptions } from '../../../lib/diffusion/samplers'
import { type NoiseSchedule, type Prediction, sdSchedule } from '../../../lib/diffusion/schedules'
import { floats, numbers, readFixtureJson, readFixtureTensors, relativeL2 } from '../../helpers/fixture-tensors'

const schedule = sdSchedule()
const tensors = readFixtureTensors('sd15-tiny', 'samplers.safetensors')
const { params } = readFixtureJson<{
  params: { steps: number, schedulers: Record<string, { init_noise_sigma: number, uses_noises: boolean }> }
}>('sd15-tiny', 'samplers.json')

/** The fixture's cases: which sampler, and what differs from its defaults. */
const cases: Record<string, [sampler: string, options?: Partial<SamplerOptions>]> = {
  ddim: ['ddim'],
  ddim_trailing_vpred: ['ddim', { spacing: 'trailing', prediction: 'v_prediction' }],
  euler: ['euler'],
  euler_linspace: ['euler', { spacing: 'linspace' }],
  euler_trailing: ['euler', { spacing: 'trailing' }],
  euler_karras: ['euler_karras'],
  euler_a: ['euler_a'],
  dpmpp_2m: ['dpmpp_2m'],
  dpmpp_2m_karras: ['dpmpp_2m_karras'],
  dpmpp_2m_sde_karras: ['dpmpp_2m_sde_karras'],
}

test('the cases below are those of the fixture and use every sampler', (t) => {
  t.deepEqual(Object.keys(cases).sort(), Object.keys(params.schedulers).sort())
  const used = new Set(Object.values(cases).map(([name]) => name))
  t.deepEqual([...used].sort(), samplers.map(({ name }) => name).sort())
})

for (const [name, [samplerName, options]] of Object.entries(cases)) {
  test(`${name}: timesteps, noise levels and every step equal the reference, given its network outputs`, (t) => {
    const sampler = findSampler(samplerName)
    const expected = params.schedulers[name]!
    const run = sampler.begin(schedule, params.steps, { prediction: 'epsilon', ...options })
    t.is(sampler.usesNoise, expected.uses_noises)
    t.true(Math.abs(run.initNoiseSigma / expected.init_noise_sigma - 1) < 1e-5)
    t.true(relativeL2(run.timesteps, numbers(tensors, `${name}.timesteps`)) < 1e-5)
    if (tensors.has(`${name}.sigmas`)) t.true(relativeL2(run.sigmas, numbers(tensors, `${name}.sigmas`)) < 1e-5)

    const outputs = floats(tensors, `${name}.pred`)
    const latents = floats(tensors, `${name}.x`)
    const noises = floats(tensors, 'noises')
    let x: Float32Array = floats(tensors, 'x_init').map((value) => value * run.initNoiseSigma)
    const size = x.length
    const at = (values: Float32Array, i: number) => values.subarray(i * size, (i + 1) * size)
    for (let i = 0; i < params.steps; i++) {
      x = run.step(x, at(outputs, i), i, sampler.usesNoise ? at(noises, i) : undefined)
      const error = relativeL2(x, at(latents, i))
      t.true(error <= 1e-5, `step ${i}: ${error}`)
    }
  })
}

// Data that is normal with mean m and standard deviation s has a known score: the best prediction of x0 from
// x = A x0 + S noise is m + s^2 A (x - A m) / (s^2 A^2 + S^2), and the ODE carries the start x_T = A m + sqrt(...) z to
// exactly m + s z.
const mean = 0.7
const deviation = 0.4
const spread = (signal: number, noise: number) => Math.sqrt(deviation ** 2 * signal ** 2 + noise ** 2)

/** The network of that data for inputs of unit-variance form at noise level sigma. */
function exactOutput(prediction: Prediction, x: Float32Array, sigma: number): Float32Array {
  const signal = 1 / Math.sqrt(1 + sigma ** 2)
  const noise = sigma * signal
  return x.map((value) => {
    const clean = mean + deviation ** 2 * signal * (value - signal * mean) / spread(signal, noise) ** 2
    const predictedNoise = (value - signal * clean) / noise
    return prediction === 'epsilon' ? predictedNoise : signal * predictedNoise - noise * clean
  })
}

/**
 * Latents of the toy problem from noise `z`, in unit-variance form, and the exact solution at the same noise level.
 * `all`: with the last step into noise level 0, which takes the network's estimate of x0 as it is and so leaves an
 * error that more steps do not lower; without it, the state before that step.
 */
function sampleToy(name: string, steps: number, prediction: Prediction, z: Float32Array, all = false) {
  const sampler = findSampler(name)
  const run = sampler.begin(schedule, steps, { prediction })
  const levels = Array.from(run.sigmas, (sigma) => {
    const signal = 1 / Math.sqrt(1 + sigma ** 2)
    return { signal, noise: sigma * signal }
  })
  const exactAt = (i: number) => z.map((value) => {
    const { signal, noise } = levels[i]!
    return signal * mean + spread(signal, noise) * value
  })
  // Euler's latents are x0 + sigma noise, those of the others have unit variance.
  const scale = (i: number) => (name.startsWith('euler') ? 1 / levels[i]!.signal : 1)
  const end = all || run.sigmas[steps]! > 0 ? steps : steps - 1
  let x: Float32Array = exactAt(0).map((value) => value * scale(0))
  for (let i = 0; i < end; i++) {
    const noise = philoxNormal({ seed: 5, stream: 1, step: i }, new Float32Array(z.length))
    x = run.step(x, exactOutput(prediction, run.scaleInput(x, i), run.sigmas[i]!), i, noise)
  }
  return { x: x.map((value) => value / scale(end)), exact: exactAt(end) }
}

const z = philoxNormal({ seed: 4, stream: 0, step: 0 }, new Float32Array(4096))

for (const { name, usesNoise } of samplers) {
  for (const prediction of ['epsilon', 'v_prediction'] as const) {
    if (usesNoise) {
      test(`${name} with ${prediction} gives the distribution of Gaussian data`, (t) => {
        const { x } = sampleToy(name, 200, prediction, z, true)
        const average = x.reduce((sum, value) => sum + value, 0) / x.length
        const variance = x.reduce((sum, value) => sum + (value - average) ** 2, 0) / x.length
        t.true(Math.abs(average - mean) < 5 * deviation / Math.sqrt(x.length) + 0.01, `mean ${average}`)
        t.true(Math.abs(Math.sqrt(variance) / deviation - 1) < 0.06, `deviation ${Math.sqrt(variance)}`)
      })
    } else {
      test(`${name} with ${prediction} converges to the exact solution for Gaussian data`, (t) => {
        const errors = [10, 40, 160].map((steps) => {
          const { x, exact } = sampleToy(name, steps, prediction, z)
          return relativeL2(x, exact)
        })
        // Four times the steps: a quarter of the error at first order, a sixteenth at second; half of that is asked
        // for. Second order needs steps in log sigma that all shrink, which evenly spaced timesteps do not give near 0.
        const factor = name === 'dpmpp_2m_karras' ? 8 : 2
        t.true(errors[1]! < errors[0]! / factor && errors[2]! < errors[1]! / factor, String(errors))
        t.true(errors[2]! < 0.02, String(errors))
      })
    }
  }
}

test('the last step gives the estimate of the clean latents', (t) => {
  for (const { name } of samplers.filter((sampler) => sampler.name !== 'ddim')) {
    const { x, exact } = sampleToy(name, 30, 'epsilon', z, true)
    if (!findSampler(name).usesNoise) t.true(relativeL2(x, exact) < 0.1, name)
    t.is(findSampler(name).begin(schedule, 30, { prediction: 'epsilon' }).sigmas[30], 0)
  }
})

test('any number of steps from 1 on gives falling noise levels and timesteps inside the schedule', (t) => {
  for (const sampler of samplers) {
    for (const spacing of ['leading', 'trailing', 'linspace'] as const) {
      for (const steps of [1, 2, 3, 7, 20, 30, 50, 999, 1000]) {
        const { timesteps, sigmas } = sampler.begin(schedule, steps, { prediction: 'epsilon', spacing })
        t.is(timesteps.length, steps)
        t.is(sigmas.length, steps + 1)
        t.true(timesteps.every((step) => step >= 0 && step <= 999), `${sampler.name} ${spacing} ${steps}`)
        t.true(sigmas.every((sigma, i) => i === 0 || sigma <= sigmas[i - 1]!), `${sampler.name} ${spacing} ${steps}`)
      }
    }
  }
})

test('samplers stay finite on a schedule with zero terminal SNR', (t) => {
  const zero: NoiseSchedule = sdSchedule({ zeroTerminalSnr: true })
  for (const sampler of samplers) {
    const run = sampler.begin(zero, 10, { prediction: 'v_prediction', spacing: 'trailing' })
    let x: Float32Array = z.slice(0, 64).map((value) => value * run.initNoiseSigma)
    for (let i = 0; i < 10; i++) {
      x = run.step(x, exactOutput('v_prediction', run.scaleInput(x, i), run.sigmas[i]!), i, z.slice(64, 128))
    }
    t.true(x.every(Number.isFinite), sampler.name)
  }
})

test('impossible numbers of steps and unknown names are usage errors', (t) => {
  for (const steps of [0, -1, 1.5, 1001, Number.NaN]) {
    for (const sampler of samplers) {
      const begin = () => sampler.begin(schedule, steps, { prediction: 'epsilon' })
      const error = t.throws(begin, { instanceOf: LorikeetError })
      t.is(error.kind, 'usage')
    }
  }
  t.is(t.throws(() => findSampler('plms'), { instanceOf: LorikeetError }).details.received, 'plms')
})
