import test from 'ava'
import { devices } from '../../lib/native'
import { dynamicMap } from '../helpers/dynamic-map'
import { relativeL2 } from '../helpers/fixture-tensors'
import { buffer, normals, rounded, runOp, tensor } from '../helpers/run-op'
import { testDevice } from '../helpers/test-device'

const block = 256
const eps = 1e-8
const maps = { m: dynamicMap(true), v: dynamicMap(false) }

interface Moment {
  codes: Uint8Array
  scale: number[]
}

interface State {
  params: number[]
  m: Moment
  v: Moment
}

interface Range {
  start: number
  count: number
  group: number
  weightDecay: number
}

interface Options {
  beta1?: number
  beta2?: number
  eps?: number
  norm?: number
  maxNorm?: number
  shadow?: boolean
  threads?: number
  device?: string
}

const blocksOf = (ranges: Range[]) => ranges.reduce((sum, { count }) => sum + Math.ceil(count / block), 0)

/** Each element of the ranges: its place in params, its block, its place among the codes. */
function places(ranges: Range[]) {
  let first = 0
  return ranges.flatMap((range) => {
    const here = Array.from({ length: range.count }, (_, i) => ({
      at: range.start + i,
      block: first + Math.floor(i / block),
      code: first * block + i,
      range,
    }))
    first += Math.ceil(range.count / block)
    return here
  })
}

function fresh(size: number, ranges: Range[]): State {
  const moment = () => ({
    codes: new Uint8Array(blocksOf(ranges) * block),
    scale: new Array<number>(blocksOf(ranges)).fill(0),
  })
  return { params: normals(size, 1), m: moment(), v: moment() }
}

const words = (codes: Uint8Array) => new Int32Array(codes.slice().buffer)
const codesOf = (result: ArrayLike<number> | undefined) => new Uint8Array(Int32Array.from(result!).buffer)

/** Bias corrections of step `time`, then the rates. */
async function run(
  state: State,
  grads: number[],
  ranges: Range[],
  scalars: number[],
  { beta1 = 0.9, beta2 = 0.999, eps: added = eps, norm = 1, maxNorm = 0, shadow = false, threads = 1, device = testDevice }: Options = {},
): Promise<State & { shadow: number[] }> {
  const size = [state.params.length]
  const blocks = state.m.scale.length
  const codes = ({ codes }: Moment) => buffer('i32', [blocks, block / 4], words(codes))
  const [params, m, v] = [buffer('f32', size, state.params), codes(state.m), codes(state.v)]
  const [mScale, vScale] = [state.m, state.v].map(({ scale }) => buffer('f32', [blocks], scale))
  const small = [tensor('f32', [1], [norm]), tensor('f32', [scalars.length], scalars)]
  const inputs = [params, buffer('f32', size, grads), m, v, mScale, vScale, ...small]
  const attributes = {
    start: ranges.map((range) => range.start),
    count: ranges.map((range) => range.count),
    group: ranges.map((range) => range.group),
    weight_decay: ranges.map((range) => range.weightDecay),
    beta1,
    beta2,
    eps: added,
    max_norm: maxNorm,
  }
  const outputs = [params, m, v, mScale, vScale, shadow ? buffer('bf16', size) : undefined]
  const [p, mNew, vNew, mScaleNew, vScaleNew, shadowNew] = await runOp('adamw_8bit', inputs, outputs, attributes, {
    threads,
    device,
  })
  return {
    params: Array.from(p!),
    m: { codes: codesOf(mNew), scale: Array.from(mScaleNew!) },
    v: { codes: codesOf(vNew), scale: Array.from(vScaleNew!) },
    shadow: Array.from(shadowNew!),
  }
}

/** One range of one rate 1 whose bias corrections are 1. */
const plain = [1, 1, 1]

test('the codes stand for the numbers of dynamic tree quantisation', async (t) => {
  // As bitsandbytes prints its maps.
  const close = (got: number, expected: number) => t.true(Math.abs(got / expected - 1) < 1e-6, `${got}, ${expected}`)
  for (const [code, value] of [[0, -0.99296875], [1, -0.97890625], [126, -5.5e-7], [128, 5.5e-7], [129, 3.25e-6], [254, 0.99296875]] as const)
    close(maps.m[code]!, value)
  for (const [code, value] of [[1, 3.25e-7], [2, 7.75e-7], [254, 0.996484375]] as const) close(maps.v[code]!, value)
  t.deepEqual([maps.m[127], maps.m[255], maps.v[0], maps.v[255]], [0, 1, 0, 1])

  // With beta1 = 1 the first moment stays, and with beta2 = 0 and gradients of 1 each parameter falls by it.
  const ranges = [{ start: 0, count: block, group: 0, weightDecay: 0 }]
  const all = Uint8Array.from({ length: block }, (_, code) => code)
  const state = { ...fresh(block, ranges), params: new Array<number>(block).fill(0) }
  const ones = new Array<number>(block).fill(1)
  const first = await run({ ...state, m: { codes: all, scale: [1] } }, ones, ranges, plain, { beta1: 1, beta2: 0, eps: 0 })
  t.true(relativeL2(first.params, maps.m.map((value) => -value)) < 1e-7)
  first.params.forEach((value, code) => t.true(Math.abs(value + maps.m[code]!) <= 1e-7 * Math.abs(value)))
  t.deepEqual([first.m.codes, first.m.scale], [all, [1]], 'every code is nearest to its own number')

  // With beta2 = 1 the second moment stays, and with beta1 = 0 each parameter falls by 1 over its root.
  const second = await run({ ...state, v: { codes: all, scale: [4] } }, ones, ranges, plain, { beta1: 0, beta2: 1, eps: 0 })
  t.is(second.params[0], -Infinity)
  second.params.slice(1).forEach((value, i) => close(value ** -2, 4 * maps.v[i + 1]!))
  t.deepEqual([second.v.codes, second.v.scale], [all, [4]])
})

const several: Range[] = [
  { start: 0, count: 1, group: 0, weightDecay: 0 },
  { start: 16, count: 33, group: 1, weightDecay: 0.01 },
  { start: 64, count: 700, group: 1, weightDecay: 0.1 },
  { start: 768, count: 256 * 70 + 5, group: 0, weightDecay: 0.1 },
]
// Elements that no access of 16 bytes takes together, and a range right behind another.
const odd: Range[] = [
  { start: 1, count: 258, group: 0, weightDecay: 0 },
  { start: 259, count: 300, group: 1, weightDecay: 0.01 },
]

for (const [title, ranges] of [['at multiples of 16', several], ['anywhere', odd]] as const)
  test(`adamw_8bit updates as adamw and rounds to the nearest codes, ranges ${title}`, async (t) => {
    const [beta1, beta2] = [0.9, 0.999]
    const size = Math.max(...ranges.map(({ start, count }) => start + count)) + 3
    const all = places([...ranges])
    let state = fresh(size, [...ranges])
    const untouched = new Set(state.params.keys())
    for (const { at } of all) untouched.delete(at)
    for (let time = 1; time <= 4; time++) {
      // Magnitudes of many powers of ten in each block.
      const grads = normals(size, 100 + time, 0.1).map((g, i) => g * 10 ** -(i % 7))
      const rates = [1e-2, 1e-3 / time]
      const scalars = [1 - beta1 ** time, 1 - beta2 ** time, ...rates]
      const next = await run(state, grads, [...ranges], scalars, { norm: 4, maxNorm: 2 })
      const moments = all.map(({ at, block: b, code, range }) => {
        const g = grads[at]! * (2 / (4 + 1e-6))
        const m = beta1 * maps.m[state.m.codes[code]!]! * state.m.scale[b]! + (1 - beta1) * g
        const v = beta2 * maps.v[state.v.codes[code]!]! * state.v.scale[b]! + (1 - beta2) * g * g
        const lr = rates[range.group]!
        const denominator = Math.sqrt(v) / Math.sqrt(scalars[1]!) + eps
        const p = state.params[at]! * (1 - lr * range.weightDecay) - ((lr / scalars[0]!) * m) / denominator
        return { m, v, p }
      })
      t.true(relativeL2(all.map(({ at }) => next.params[at]!), moments.map(({ p }) => p)) < 5e-7)
      for (const key of ['m', 'v'] as const) {
        const largest = next[key].scale.map(() => 0)
        all.forEach(({ block: b }, i) => (largest[b] = Math.max(largest[b]!, Math.abs(moments[i]![key]))))
        next[key].scale.forEach((scale, b) => t.true(Math.abs(scale / largest[b]! - 1) < 1e-6, `${key}, block ${b}`))
        const off = all.map(({ block: b, code }, i) => {
          const x = moments[i]![key] / next[key].scale[b]!
          const least = Math.min(...maps[key].map((value) => Math.abs(value - x)))
          return Math.abs(maps[key][next[key].codes[code]!]! - x) - least
        })
        t.true(Math.max(...off) < 1e-6, `${key} is not rounded to the nearest: ${Math.max(...off)}`)
        const used = new Set(all.map(({ code }) => code))
        t.true(next[key].codes.every((code, i) => used.has(i) || code === 0), 'codes without a parameter stay zero')
      }
      t.true([...untouched].every((i) => next.params[i] === state.params[i]))
      state = next
    }
  })

test('adamw_8bit gives the same bits on every device, and for any number of threads', async (t) => {
  const scalars = [0.1, 0.001, 1e-3, 1e-2]
  for (const ranges of [several, odd]) {
    const size = 19000
    const results = await Promise.all(
      devices()
        .flatMap(({ name: device }) => [1, 3].map((threads) => ({ device, threads })))
        .map(async (where) => {
          let state: State & { shadow?: number[] } = fresh(size, ranges)
          for (let time = 0; time < 3; time++)
            state = await run(state, normals(size, 8 + time), ranges, scalars, { ...where, maxNorm: 0.7, shadow: true })
          return state
        }),
    )
    for (const result of results) t.deepEqual(result, results[0]!)
  }
})

test('adamw_8bit writes the rounded parameters to the shadow in the same pass', async (t) => {
  for (const start of [0, 1]) {
    const ranges = [{ start, count: 300, group: 0, weightDecay: 0.01 }]
    const { params, shadow } = await run(fresh(301, ranges), normals(301, 2), ranges, [0.1, 0.001, 1e-2], { shadow: true })
    const inside = (i: number) => i >= start && i < start + 300
    t.deepEqual(shadow, params.map((value, i) => (inside(i) ? rounded(value) : 0)))
  }
})

test('a block without gradients keeps its parameters and a state of zero', async (t) => {
  const ranges = [{ start: 0, count: 2 * block, group: 0, weightDecay: 0 }]
  const grads = normals(2 * block, 3).map((g, i) => (i < block ? 0 : g))
  const state = fresh(2 * block, ranges)
  const got = await run(state, grads, ranges, [0.1, 0.001, 1e-2])
  t.deepEqual(got.params.slice(0, block), state.params.slice(0, block))
  t.deepEqual([got.m.scale[0], got.v.scale[0]], [0, 0])
  t.true(got.m.scale[1]! > 0 && got.v.scale[1]! > 0)
  const again = await run(got, grads, ranges, [0.19, 0.002, 1e-2])
  t.deepEqual(again.params.slice(0, block), state.params.slice(0, block))
})

test('a norm that is not finite leaves everything as it was', async (t) => {
  const ranges = [{ start: 0, count: 300, group: 0, weightDecay: 0.1 }]
  const state = await run(fresh(300, ranges), normals(300, 7), ranges, [0.1, 0.001, 1e-2], { shadow: true })
  for (const norm of [NaN, Infinity]) {
    for (const maxNorm of [0, 1]) {
      const got = await run(state, normals(300, 8), ranges, [0.19, 0.002, 1e-2], { norm, maxNorm, shadow: true })
      t.deepEqual(got, { ...state, shadow: new Array<number>(300).fill(0) })
    }
  }
})

test('adamw_8bit refuses ranges that are not there, and state of another size', async (t) => {
  const ranges = [{ start: 4, count: 300, group: 0, weightDecay: 0 }]
  const state = fresh(303, ranges)
  const refused = (at: State, message: RegExp) =>
    t.throwsAsync(run(at, at.params, ranges, [1, 1, 1]), { message })
  await refused(state, /adamw_8bit: range 0 is 4 .. 304, params has 303 elements/)
  const larger = fresh(310, [{ ...ranges[0]!, count: 513 }])
  await refused(larger, /adamw_8bit: m is \[3, 64\]; for 2 blocks it must be \[2, 64\]/)
})
