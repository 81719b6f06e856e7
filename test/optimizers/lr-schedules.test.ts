import test from 'ava'
import { lrFactor, lrScheduleOptions, lrSchedules } from '../../lib/optimizers/lr-schedules'

const options = { updates: 110, warmupUpdates: 10, cycles: 0.5 }
const factors = (name: string, updates: number[], other = {}) => {
  const schedule = lrSchedules.find((candidate) => candidate.name === name)!
  return updates.map((update) => lrFactor(schedule, update, { ...options, ...other }))
}

test('every schedule warms up from zero, reaches the full rate and stays within [0, 1]', (t) => {
  for (const { name } of lrSchedules) {
    t.deepEqual(factors(name, [0, 1, 5, 9, 10]), [0, 0.1, 0.5, 0.9, 1], name)
    for (const factor of factors(name, Array.from({ length: 200 }, (_, i) => i))) t.true(factor >= 0 && factor <= 1)
    t.is(factors(name, [0], { warmupUpdates: 0 })[0], 1, name)
  }
})

test('constant stays, linear falls evenly to zero', (t) => {
  t.deepEqual(factors('constant', [10, 60, 109, 500]), [1, 1, 1, 1])
  t.deepEqual(factors('linear', [10, 35, 60, 110, 500]), [1, 0.75, 0.5, 0, 0])
})

test('cosine falls along half a wave, or several', (t) => {
  const [quarter, half, threeQuarters, end] = factors('cosine', [35, 60, 85, 110]) as [number, number, number, number]
  t.true(Math.abs(quarter - 0.5 * (1 + Math.SQRT1_2)) < 1e-12)
  t.true(Math.abs(half - 0.5) < 1e-12)
  t.true(Math.abs(threeQuarters - 0.5 * (1 - Math.SQRT1_2)) < 1e-12)
  t.true(Math.abs(end) < 1e-12)
  const waves = factors('cosine', [10, 60, 110], { cycles: 1 })
  t.deepEqual(waves.map((factor) => Math.round(factor * 1e9) / 1e9), [1, 0, 1])
})

test('a run shorter than its warm-up never divides by zero', (t) => {
  for (const { name } of lrSchedules) {
    const values = factors(name, [0, 4, 5, 9, 10, 11], { updates: 5 })
    t.true(values.every(Number.isFinite), name)
  }
})

test('recipes choose among the listed schedules only', (t) => {
  const names: string[] = lrScheduleOptions.shape.name.unwrap().options
  t.deepEqual(names, lrSchedules.map(({ name }) => name))
  t.false(lrScheduleOptions.safeParse({ name: 'polynomial' }).success)
  t.false(lrScheduleOptions.safeParse({ warmupUpdates: -1 }).success)
})
