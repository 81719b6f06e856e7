import test from 'ava'
import { relativeL2 } from '../helpers/fixture-tensors'
import { buffer, normals, rounded, runOp, tensor } from '../helpers/run-op'

const [beta1, beta2, eps] = [0.9, 0.999, 1e-8]

interface State {
  params: number[]
  m: number[]
  v: number[]
}

interface Range {
  start: number
  count: number
  group: number
  weightDecay: number
  /** Where it begins in m and v, if elsewhere. */
  state?: number
}

/** One step of AdamW in double precision, for the elements of the ranges. */
function step(state: State, grads: number[], ranges: Range[], rates: number[], time: number, clip = 1): State {
  const next = { params: [...state.params], m: [...state.m], v: [...state.v] }
  for (const { start, count, group, weightDecay } of ranges) {
    for (let i = start; i < start + count; i++) {
      const g = grads[i]! * clip
      const lr = rates[group]!
      next.m[i] = beta1 * state.m[i]! + (1 - beta1) * g
      next.v[i] = beta2 * state.v[i]! + (1 - beta2) * g * g
      const denominator = Math.sqrt(next.v[i]!) / Math.sqrt(1 - beta2 ** time) + eps
      const change = ((lr / (1 - beta1 ** time)) * next.m[i]!) / denominator
      next.params[i] = state.params[i]! * (1 - lr * weightDecay) - change
    }
  }
  return next
}

/** The same step by the op. */
async function run(
  state: State,
  grads: number[],
  ranges: Range[],
  rates: number[],
  time: number,
  { norm = 1, maxNorm = 0, shadow = false, threads = 1 } = {},
): Promise<State & { shadow: number[] }> {
  const size = [state.params.length]
  const [params, m, v] = [state.params, state.m, state.v].map((data) => buffer('f32', size, data))
  const scalars = [1 - beta1 ** time, 1 - beta2 ** time, ...rates]
  const small = [tensor('f32', [1], [norm]), tensor('f32', [scalars.length], scalars)]
  const inputs = [params, buffer('f32', size, grads), m, v, ...small]
  const attributes = {
    start: ranges.map((range) => range.start),
    state: ranges.map((range) => range.state ?? range.start),
    count: ranges.map((range) => range.count),
    group: ranges.map((range) => range.group),
    weight_decay: ranges.map((range) => range.weightDecay),
    beta1,
    beta2,
    eps,
    max_norm: maxNorm,
  }
  const outputs = [params, m, v, shadow ? buffer('bf16', size) : undefined]
  const results = await runOp('adamw', inputs, outputs, attributes, { threads })
  const [newParams, newM, newV, newShadow] = results.map((result) => Array.from(result))
  return { params: newParams!, m: newM!, v: newV!, shadow: newShadow! }
}

const fresh = (size: number): State => ({
  params: normals(size, 1),
  m: new Array<number>(size).fill(0),
  v: new Array<number>(size).fill(0),
})

test('adamw follows double precision over ten steps, with a rate and a decay per range', async (t) => {
  const ranges = [
    { start: 0, count: 1, group: 0, weightDecay: 0 },
    { start: 1, count: 33, group: 1, weightDecay: 0.01 },
    { start: 40, count: 17000, group: 1, weightDecay: 0.1 },
  ]
  const size = 17050
  let got: State = fresh(size)
  let expected: State = got
  for (let time = 1; time <= 10; time++) {
    const grads = normals(size, 100 + time, 0.1)
    const rates = [1e-2, 1e-3 / time]
    got = await run(got, grads, ranges, rates, time)
    expected = step(expected, grads, ranges, rates, time)
  }
  // Each step rounds the state again: ten times 2^-24 or so.
  for (const key of ['params', 'm', 'v'] as const) {
    t.true(relativeL2(got[key], expected[key]) <= 5e-7, `${key}: ${relativeL2(got[key], expected[key])}`)
  }
  const outside = [...Array.from({ length: 6 }, (_, i) => 34 + i), ...Array.from({ length: 10 }, (_, i) => 17040 + i)]
  t.deepEqual(outside.map((i) => got.params[i]), outside.map((i) => fresh(size).params[i]))
})

test('adamw finds the state of a range where it is told to', async (t) => {
  const grads = normals(100, 12)
  const together = [{ start: 0, count: 100, group: 0, weightDecay: 0.1 }]
  const apart = [
    { start: 0, count: 60, group: 0, weightDecay: 0.1, state: 40 },
    { start: 60, count: 40, group: 0, weightDecay: 0.1, state: 0 },
  ]
  const turned = (list: number[], by: number) => [...list.slice(by), ...list.slice(0, by)]
  const state = { params: normals(100, 13), m: normals(100, 14), v: normals(100, 15).map(Math.abs) }
  const expected = await run(state, grads, together, [1e-2], 3)
  const got = await run({ ...state, m: turned(state.m, 60), v: turned(state.v, 60) }, grads, apart, [1e-2], 3)
  t.deepEqual({ ...got, m: turned(got.m, 40), v: turned(got.v, 40) }, expected)
  const beyond = [{ start: 0, count: 60, group: 0, weightDecay: 0, state: 41 }]
  await t.throwsAsync(run(state, grads, beyond, [1e-2], 3), {
    message: /adamw: the state of range 0 is 41 .. 101, m has 100 elements/,
  })
})

test('adamw writes the rounded parameters to the shadow in the same pass', async (t) => {
  const ranges = [{ start: 0, count: 77, group: 0, weightDecay: 0.01 }]
  const { params, shadow } = await run(fresh(77), normals(77, 2), ranges, [1e-2], 1, { shadow: true })
  t.deepEqual(shadow, params.map(rounded))
})

test('adamw scales the gradient down to max_norm, and never up', async (t) => {
  const ranges = [{ start: 0, count: 50, group: 0, weightDecay: 0 }]
  const grads = normals(50, 3)
  for (const [norm, maxNorm, clip] of [[8, 2, 2 / (8 + 1e-6)], [0.5, 2, 1], [8, 0, 1]] as const) {
    const got = await run(fresh(50), grads, ranges, [1e-3], 1, { norm, maxNorm })
    t.true(relativeL2(got.m, step(fresh(50), grads, ranges, [1e-3], 1, clip).m) <= 2e-7)
  }
})

test('a norm that is not finite leaves everything as it was', async (t) => {
  const ranges = [{ start: 0, count: 20, group: 0, weightDecay: 0.1 }]
  const state = { params: normals(20, 4), m: normals(20, 5), v: normals(20, 6).map(Math.abs) }
  for (const norm of [NaN, Infinity]) {
    for (const maxNorm of [0, 1]) {
      const got = await run(state, normals(20, 7), ranges, [1e-2], 3, { norm, maxNorm, shadow: true })
      t.deepEqual(got, { ...state, shadow: new Array(20).fill(0) })
    }
  }
})

test('adamw is the same bits for any number of threads', async (t) => {
  const ranges = [{ start: 0, count: 70000, group: 0, weightDecay: 0.01 }]
  const [one, three] = await Promise.all(
    [1, 3].map((threads) => run(fresh(70000), normals(70000, 8), ranges, [1e-3], 1, { threads })),
  )
  t.deepEqual(one, three)
})

test('adamw refuses ranges and groups that are not there', async (t) => {
  const state = fresh(10)
  const refused = (range: Range, message: RegExp) => t.throwsAsync(run(state, state.m, [range], [1e-3], 1), { message })
  await refused({ start: 4, count: 7, group: 0, weightDecay: 0 }, /adamw: range 0 is 4 .. 11, params has 10 elements/)
  await refused({ start: -1, count: 2, group: 0, weightDecay: 0 }, /adamw: range 0 is -1/)
  await refused({ start: 0, count: 2, group: 1, weightDecay: 0 }, /adamw: range 0 is of group 1, scalars holds 1/)
})

async function globalNorm(g: number[], threads = 1): Promise<number> {
  const [norm] = await runOp('global_norm', [buffer('f32', [g.length], g)], [tensor('f32', [1])], {}, { threads })
  return norm![0]!
}

test('global_norm is the length of the whole buffer, to the bit the same for any number of threads', async (t) => {
  for (const size of [1, 7, 33, 100003]) {
    const g = normals(size, 9, 1e-3)
    const [one, three] = [await globalNorm(g), await globalNorm(g, 3)]
    const expected = Math.sqrt(g.reduce((sum, v) => sum + v * v, 0))
    t.true(Math.abs(one / expected - 1) <= 1e-7)
    t.is(one, three)
  }
})

test('global_norm does not overflow on large gradients and is not finite when one of them is not', async (t) => {
  t.true(Math.abs((await globalNorm([3e30, 4e30])) / 5e30 - 1) <= 1e-7)
  t.false(Number.isFinite(await globalNorm([1, NaN, 2])))
  t.false(Number.isFinite(await globalNorm([1, -Infinity, 2])))
})

test('ema moves the average towards the parameters', async (t) => {
  for (const size of [1, 7, 33, 40000]) {
    const [params, average] = [normals(size, 10), normals(size, 11)]
    const target = buffer('f32', [size], average)
    const [got] = await runOp('ema', [buffer('f32', [size], params), target], [target], { decay: 0.99 })
    t.true(relativeL2(got!, average.map((v, i) => 0.99 * v + 0.01 * params[i]!)) <= 1e-6)
  }
})
