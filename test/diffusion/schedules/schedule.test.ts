import test from 'ava'
import {
  addNoise, noiseCoefficients, scheduleKinds, scheduleOf, sdSchedule, targetOf,
} from '../../../lib/diffusion/schedules'
import { floats, numbers, readFixtureTensors, relativeL2 } from '../../helpers/fixture-tensors'

const tensors = readFixtureTensors('sd15-tiny', 'schedule.safetensors')
const schedule = sdSchedule()
const tolerance = 1e-5

test('betas and their products equal the reference, also at zero terminal SNR', (t) => {
  t.true(relativeL2(schedule.betas, numbers(tensors, 'betas')) <= tolerance)
  t.true(relativeL2(schedule.alphasCumprod, numbers(tensors, 'alphas_cumprod')) <= tolerance)
  t.true(relativeL2(schedule.snr, numbers(tensors, 'snr')) <= 1e-4)
  const zero = sdSchedule({ zeroTerminalSnr: true })
  t.true(relativeL2(zero.betas, numbers(tensors, 'zero_terminal.betas')) <= tolerance)
  t.true(relativeL2(zero.alphasCumprod, numbers(tensors, 'zero_terminal.alphas_cumprod')) <= tolerance)
  t.is(zero.alphasCumprod[999], 0)
  t.is(zero.betas[999], 1)
  t.deepEqual(zero.snr, schedule.snr, 'loss weights keep the SNR from before the rescaling')
})

test('noisy latents and v targets equal the reference', (t) => {
  const timesteps = numbers(tensors, 't')
  const x0 = floats(tensors, 'x0')
  const noise = floats(tensors, 'noise')
  t.true(relativeL2(addNoise(schedule, x0, noise, timesteps), numbers(tensors, 'noisy')) <= tolerance)
  const velocity = targetOf(schedule, 'v_prediction', x0, noise, timesteps)
  t.true(relativeL2(velocity, numbers(tensors, 'velocity')) <= tolerance)
  t.is(targetOf(schedule, 'epsilon', x0, noise, timesteps), noise)
})

test('the first timestep is nearly clean, the last nearly pure noise, and the squares sum to one', (t) => {
  const first = noiseCoefficients(schedule, 0)
  const last = noiseCoefficients(schedule, 999)
  t.true(first.signal > 0.999 && last.signal < 0.07)
  t.true(Math.abs(first.signal ** 2 + first.noise ** 2 - 1) < 1e-12)
})

test('timesteps outside the schedule and mismatched batches are refused', (t) => {
  t.throws(() => noiseCoefficients(schedule, 1000), { instanceOf: RangeError })
  t.throws(() => noiseCoefficients(schedule, 0.5), { instanceOf: RangeError })
  const four = new Float32Array(4)
  t.throws(() => addNoise(schedule, four, new Float32Array(3), [0]), { instanceOf: RangeError })
  t.throws(() => addNoise(schedule, four, four, [0, 1, 2]), { instanceOf: RangeError })
})

test('every kind of schedule has defaults, adds noise monotonically and refuses unknown options', (t) => {
  for (const kind of scheduleKinds) {
    const { alphasCumprod } = scheduleOf(kind.betas(kind.options.parse({})))
    t.is(alphasCumprod.length, 1000, kind.name)
    for (let i = 1; i < alphasCumprod.length; i++) t.true(alphasCumprod[i]! < alphasCumprod[i - 1]!)
    t.false(kind.options.safeParse({ unknown: 1 }).success)
    t.false(kind.options.safeParse({ betaStart: 2 }).success)
  }
  t.is(new Set(scheduleKinds.map(({ name }) => name)).size, scheduleKinds.length)
})
