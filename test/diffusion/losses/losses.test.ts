import test from 'ava'
import { LorikeetError } from '../../../lib/base/errors'
import {
  type Choice, lossKinds, type LossName, lossTables, weightKinds, type WeightName,
} from '../../../lib/diffusion/losses'
import { sdSchedule } from '../../../lib/diffusion/schedules'
import { numbers, readFixtureTensors, relativeL2 } from '../../helpers/fixture-tensors'
import { referenceLoss } from './reference-loss'

const schedule = sdSchedule()
const tables = readFixtureTensors('sd15-tiny', 'schedule.safetensors')
const losses = readFixtureTensors('sd15-tiny', 'loss.safetensors')

const weight = (name: WeightName, options?: Record<string, number>): Choice<WeightName> => ({ name, options })
const tableTolerance = 1e-4

test('weights by timestep equal the reference', (t) => {
  const cases: [tensor: string, prediction: 'epsilon' | 'v_prediction', choice: Choice<WeightName>][] = [
    ['weight.min_snr5.eps', 'epsilon', weight('min_snr_gamma')],
    ['weight.min_snr5.v', 'v_prediction', weight('min_snr_gamma', { gamma: 5 })],
    ['weight.min_snr1.eps', 'epsilon', weight('min_snr_gamma', { gamma: 1 })],
    ['weight.scale_v_pred', 'v_prediction', weight('scale_v')],
    ['weight.v_pred_like_0.5', 'epsilon', weight('v_pred_like', { share: 0.5 })],
    ['weight.debiased.eps', 'epsilon', weight('debiased')],
    ['weight.debiased.v', 'v_prediction', weight('debiased')],
  ]
  t.is(cases.length, [...tables.keys()].filter((name) => name.startsWith('weight.')).length)
  for (const [tensor, prediction, choice] of cases) {
    const ours = lossTables(schedule, prediction, { name: 'mse' }, [choice]).weight
    const error = relativeL2(ours, numbers(tables, tensor))
    t.true(error <= tableTolerance, `${tensor}: ${error}`)
  }
})

test('c by timestep equals the reference', (t) => {
  for (const kind of ['snr', 'exponential', 'constant']) {
    const { c } = lossTables(schedule, 'epsilon', { name: 'huber', options: { schedule: kind, c: 0.1 } })
    const error = relativeL2(c!, numbers(tables, `huber_c.${kind}`))
    t.true(error <= tableTolerance, `${kind}: ${error}`)
  }
})

test('losses and gradients of every variant equal the reference', (t) => {
  const variants: Record<string, [Choice<LossName>, ('epsilon' | 'v_prediction')?, ...Choice<WeightName>[]]> = {
    l2: [{ name: 'mse' }],
    l1: [{ name: 'l1' }],
    huber_snr: [{ name: 'huber' }],
    huber_exponential: [{ name: 'huber', options: { schedule: 'exponential' } }],
    huber_constant: [{ name: 'huber', options: { schedule: 'constant' } }],
    smooth_l1_snr: [{ name: 'smooth_l1' }],
    smooth_l1_constant: [{ name: 'smooth_l1', options: { schedule: 'constant' } }],
    l2_min_snr5: [{ name: 'mse' }, 'epsilon', weight('min_snr_gamma')],
    l2_min_snr5_v: [{ name: 'mse' }, 'v_prediction', weight('min_snr_gamma')],
    huber_snr_min_snr5: [{ name: 'huber' }, 'epsilon', weight('min_snr_gamma')],
    l2_debiased: [{ name: 'mse' }, 'epsilon', weight('debiased')],
    l2_scale_v: [{ name: 'mse' }, 'v_prediction', weight('scale_v')],
    l2_masked: [{ name: 'mse' }],
  }
  t.is(Object.keys(variants).length, [...losses.keys()].filter((name) => name.startsWith('grad.')).length)

  const prediction = numbers(losses, 'pred')
  const target = numbers(losses, 'target')
  const timesteps = numbers(losses, 't')
  for (const [name, [loss, predicts = 'epsilon', ...weights]] of Object.entries(variants)) {
    const { weight: byTimestep, c } = lossTables(schedule, predicts, loss, weights)
    const ours = referenceLoss(loss.name, prediction, target, timesteps.map((step) => byTimestep[step]!),
      c && timesteps.map((step) => c[step]!), name === 'l2_masked' ? maskForLatents() : undefined)
    const value = relativeL2(ours.perSample, numbers(losses, `per_sample.${name}`))
    const gradient = relativeL2(ours.gradient, numbers(losses, `grad.${name}`))
    t.true(value <= 1e-5, `${name}: ${value}`)
    t.true(gradient <= 1e-5, `gradient of ${name}: ${gradient}`)
  }
})

/** [4, 32, 48] averaged over 8x8 pixels and repeated for the four channels: [4, 4, 4, 6]. */
function maskForLatents(): Float64Array {
  const mask = numbers(losses, 'mask')
  const out = new Float64Array(4 * 4 * 4 * 6)
  for (let i = 0; i < out.length; i++) {
    const [n, y, x] = [Math.floor(i / 96), Math.floor(i / 6) % 4, i % 6]
    for (let p = 0; p < 64; p++) out[i]! += mask[n * 32 * 48 + (y * 8 + (p >> 3)) * 48 + x * 8 + (p % 8)]! / 64
  }
  return out
}

test('the pseudo-Huber loss is d^2 near zero and linear far away', (t) => {
  const huber = (d: number) => referenceLoss('huber', [d], [0], [1], [0.1]).perSample[0]!
  t.true(Math.abs(huber(1e-4) / 1e-8 - 1) < 1e-5)
  t.true(Math.abs(huber(1e4) / (0.2 * 1e4) - 1) < 1e-4)
})

test('weights multiply', (t) => {
  const both = lossTables(schedule, 'epsilon', { name: 'mse' }, [weight('min_snr_gamma'), weight('debiased')]).weight
  const one = lossTables(schedule, 'epsilon', { name: 'mse' }, [weight('min_snr_gamma')]).weight
  const other = lossTables(schedule, 'epsilon', { name: 'mse' }, [weight('debiased')]).weight
  t.true(relativeL2(both, one.map((value, i) => value * other[i]!)) < 1e-12)
})

test('a weight that does not fit the prediction is refused with its name', (t) => {
  for (const [name, prediction, options] of [
    ['scale_v', 'epsilon', {}], ['v_pred_like', 'v_prediction', { share: 1 }],
  ] as const) {
    const error = t.throws(
      () => lossTables(schedule, prediction, { name: 'mse' }, [{ name, options }]), { instanceOf: LorikeetError })
    t.is(error.kind, 'usage')
    t.is(error.details.where, name)
  }
})

test('every kind refuses unknown options, and names are unique', (t) => {
  const kinds = [...lossKinds, ...weightKinds]
  for (const kind of kinds) t.false(kind.options.safeParse({ share: 1, unknown: 1 }).success, kind.name)
  t.is(new Set(kinds.map(({ name }) => name)).size, kinds.length)
})
