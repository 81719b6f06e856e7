import { execFile } from 'node:child_process'
import path from 'node:path'
import { promisify } from 'node:util'
import test from 'ava'
import { devices } from '../../lib/native'
import { relativeL2 } from '../helpers/fixture-tensors'
import {
  expectClose,
  randomTensor,
  rounded,
  runOp,
  tensor,
  type ComputeDType,
  type TestTensor,
} from '../helpers/run-op'

const dtypes = ['f32', 'bf16'] as const

interface Case {
  batch: number
  heads: number
  tq: number
  tk: number
  d: number
  causal?: boolean
  /** Tensors that hold q, k and v: qkv; q and kv; q, k and v. */
  sources: 1 | 2 | 3
}

const cases: Case[] = [
  { batch: 1, heads: 1, tq: 1, tk: 1, d: 1, sources: 1 },
  { batch: 2, heads: 3, tq: 5, tk: 5, d: 2, causal: true, sources: 1 },
  { batch: 1, heads: 2, tq: 67, tk: 67, d: 4, sources: 1 },
  { batch: 2, heads: 2, tq: 64, tk: 64, d: 40, sources: 1 },
  { batch: 1, heads: 2, tq: 160, tk: 77, d: 40, sources: 2 },
  { batch: 1, heads: 3, tq: 77, tk: 77, d: 64, causal: true, sources: 1 },
  { batch: 1, heads: 1, tq: 200, tk: 129, d: 80, sources: 3 },
  { batch: 1, heads: 1, tq: 70, tk: 150, d: 160, sources: 2 },
  { batch: 1, heads: 1, tq: 65, tk: 65, d: 512, sources: 1 },
  { batch: 3, heads: 2, tq: 33, tk: 19, d: 7, sources: 3 },
  { batch: 1, heads: 2, tq: 19, tk: 140, d: 33, causal: true, sources: 3 },
]

const describe = (c: Case) => JSON.stringify(c)
const attributes = (c: Case) => ({ heads: c.heads, causal: c.causal ? 1 : 0, scale: 1 / Math.sqrt(c.d) })

function makeSources(c: Case, dtype: ComputeDType): TestTensor[] {
  const width = c.heads * c.d
  const shapes = {
    1: [[c.batch, c.tq, 3 * width]],
    2: [[c.batch, c.tq, width], [c.batch, c.tk, 2 * width]],
    3: [[c.batch, c.tq, width], [c.batch, c.tk, width], [c.batch, c.tk, width]],
  }[c.sources]
  return shapes.map((shape, i) => randomTensor(dtype, shape, 11 + i))
}

/** Of the rows of q, k or v: which tensor, and where a row of a head starts in it. */
function locate(c: Case, part: 'q' | 'k' | 'v') {
  const width = c.heads * c.d
  const rows = part === 'q' ? c.tq : c.tk
  const columns = { 1: { q: 0, k: width, v: 2 * width }, 2: { q: 0, k: 0, v: width }, 3: { q: 0, k: 0, v: 0 } }
  const column = columns[c.sources][part]
  const source = { 1: { q: 0, k: 0, v: 0 }, 2: { q: 0, k: 1, v: 1 }, 3: { q: 0, k: 1, v: 2 } }[c.sources][part]
  const stride = c.sources === 1 ? 3 * width : c.sources === 2 && part !== 'q' ? 2 * width : width
  return { source, at: (n: number, row: number, head: number) => (n * rows + row) * stride + column + head * c.d }
}

/** o, lse and the gradients of the sources in double precision, straight from the definition. */
function reference(c: Case, sources: TestTensor[], dO: ArrayLike<number>) {
  const width = c.heads * c.d
  const scale = 1 / Math.sqrt(c.d)
  const data = sources.map((s) => Float64Array.from(s.data!))
  const gradients = data.map((x) => new Float64Array(x.length))
  const [q, k, v] = [locate(c, 'q'), locate(c, 'k'), locate(c, 'v')]
  const o = new Float64Array(c.batch * c.tq * width)
  const lse = new Float64Array(c.batch * c.heads * c.tq)
  const dot = (a: ArrayLike<number>, i: number, b: ArrayLike<number>, j: number) => {
    let sum = 0
    for (let d = 0; d < c.d; d++) sum += a[i + d]! * b[j + d]!
    return sum
  }
  const add = (to: Float64Array, i: number, from: ArrayLike<number>, j: number, factor: number) => {
    for (let d = 0; d < c.d; d++) to[i + d]! += factor * from[j + d]!
  }
  for (let n = 0; n < c.batch; n++) {
    for (let head = 0; head < c.heads; head++) {
      for (let i = 0; i < c.tq; i++) {
        const keys = c.causal ? Math.min(c.tk, i + 1) : c.tk
        const qAt = q.at(n, i, head)
        const score = (j: number) => scale * dot(data[q.source]!, qAt, data[k.source]!, k.at(n, j, head))
        const scores = Array.from({ length: keys }, (_, j) => score(j))
        const peak = Math.max(...scores)
        const powers = scores.map((s) => Math.exp(s - peak))
        const total = powers.reduce((a, b) => a + b)
        lse[(n * c.heads + head) * c.tq + i] = peak + Math.log(total)
        const oAt = (n * c.tq + i) * width + head * c.d
        powers.forEach((p, j) => add(o, oAt, data[v.source]!, v.at(n, j, head), p / total))
        const delta = dot(o, oAt, dO, oAt)
        powers.forEach((power, j) => {
          const p = power / total
          const ds = scale * p * (dot(dO, oAt, data[v.source]!, v.at(n, j, head)) - delta)
          add(gradients[v.source]!, v.at(n, j, head), dO, oAt, p)
          add(gradients[q.source]!, qAt, data[k.source]!, k.at(n, j, head), ds)
          add(gradients[k.source]!, k.at(n, j, head), data[q.source]!, qAt, ds)
        })
      }
    }
  }
  return { o, lse, gradients }
}

async function forward(c: Case, dtype: ComputeDType, sources: TestTensor[], threads = 1) {
  const width = c.heads * c.d
  const outputs = [tensor(dtype, [c.batch, c.tq, width]), tensor('f32', [c.batch, c.heads, c.tq])]
  const [o, lse] = await runOp('attention', sources, outputs, attributes(c), { threads })
  return { o: tensor(dtype, outputs[0]!.shape, o), lse: tensor('f32', outputs[1]!.shape, lse) }
}

async function backward(
  c: Case,
  dtype: ComputeDType,
  sources: TestTensor[],
  dO: TestTensor,
  threads = 1,
  wanted?: boolean[],
) {
  const { o, lse } = await forward(c, dtype, sources, threads)
  const outputs = sources.map((s, i) => (wanted && !wanted[i] ? undefined : tensor(dtype, s.shape)))
  const operands = [...sources, o, lse, dO]
  return runOp('attention_backward', operands, outputs, { ...attributes(c), sources: c.sources }, { threads })
}

for (const dtype of dtypes) {
  test(`attention and its gradients agree with the definition in ${dtype}`, async (t) => {
    for (const c of cases) {
      const sources = makeSources(c, dtype)
      const dO = randomTensor(dtype, [c.batch, c.tq, c.heads * c.d], 21)
      const expected = reference(c, sources, dO.data!)
      const { o, lse } = await forward(c, dtype, sources)
      t.log(describe(c))
      expectClose(t, o.data!, expected.o, dtype)
      expectClose(t, lse.data!, expected.lse, 'f32')
      const gradients = await backward(c, dtype, sources, dO)
      gradients.forEach((gradient, i) => {
        // In bf16, P and dS are rounded on their way, as in every flash kernel; o is, too.
        const once = relativeL2(Array.from(expected.gradients[i]!, rounded), expected.gradients[i]!)
        const allowed = dtype === 'f32' ? 2e-6 : 3 * once + 1e-6
        const error = relativeL2(gradient, expected.gradients[i]!)
        t.true(error <= allowed, `gradient ${i} of ${describe(c)}: relative L2 ${error}, allowed ${allowed}`)
      })
    }
  })

  test(`the bits of attention do not depend on the number of threads in ${dtype}`, async (t) => {
    for (const c of [
      { batch: 1, heads: 1, tq: 300, tk: 300, d: 40, sources: 1 },
      { batch: 1, heads: 3, tq: 130, tk: 200, d: 16, sources: 2 },
    ] satisfies Case[]) {
      const sources = makeSources(c, dtype)
      const dO = randomTensor(dtype, [c.batch, c.tq, c.heads * c.d], 22)
      const one = await forward(c, dtype, sources, 1)
      const gradients = await backward(c, dtype, sources, dO, 1)
      for (const threads of [2, 3]) {
        t.deepEqual(await forward(c, dtype, sources, threads), one)
        t.deepEqual(await backward(c, dtype, sources, dO, threads), gradients)
      }
    }
  })

  test(`a gradient that is not wanted leaves the others as they are in ${dtype}`, async (t) => {
    const c: Case = { batch: 1, heads: 2, tq: 20, tk: 77, d: 8, sources: 2 }
    const sources = makeSources(c, dtype)
    const dO = randomTensor(dtype, [c.batch, c.tq, c.heads * c.d], 23)
    const [dq, dkv] = await backward(c, dtype, sources, dO)
    const [onlyDq] = await backward(c, dtype, sources, dO, 1, [true, false])
    const [, onlyDkv] = await backward(c, dtype, sources, dO, 1, [false, true])
    t.deepEqual(onlyDq, dq)
    t.deepEqual(onlyDkv, dkv)
  })

  test(`softmax of attention survives large, infinite and missing numbers in ${dtype}`, async (t) => {
    const c: Case = { batch: 1, heads: 1, tq: 3, tk: 70, d: 2, sources: 3 }
    const [q, k, v] = makeSources(c, dtype) as [TestTensor, TestTensor, TestTensor]
    const keyOf = (i: number) => Math.floor(i / 2)
    const withKey = (key: number, x: number) =>
      tensor(dtype, k.shape, Array.from(k.data!, (old, i) => (keyOf(i) === key ? x : old)))
    const ones = tensor(dtype, q.shape, new Array<number>(6).fill(1))
    const without = (of: TestTensor, key: number) =>
      tensor(dtype, [1, 69, 2], Array.from(of.data!).filter((_, i) => keyOf(i) !== key))

    // One key far ahead of all others takes all of the weight, in the first block and in the second.
    for (const key of [3, 68]) {
      const { o } = await forward(c, dtype, [ones, withKey(key, 3e4), v])
      t.deepEqual(Array.from(o.data!), [0, 1, 2].flatMap(() => [v.data![2 * key]!, v.data![2 * key + 1]!]))
    }
    // A key at minus infinity takes part no more: as if it were not there.
    for (const key of [3, 68]) {
      const { o, lse } = await forward(c, dtype, [ones, withKey(key, -Infinity), v])
      const fewer = [ones, without(k, key), without(v, key)]
      const expected = reference({ ...c, tk: 69 }, fewer, new Array<number>(6).fill(0))
      expectClose(t, o.data!, expected.o, dtype)
      expectClose(t, lse.data!, expected.lse, 'f32')
    }
    // Not a number anywhere, or nothing but minus infinity, gives not a number where it is looked at, and there only.
    const lost = await forward(c, dtype, [ones, withKey(5, NaN), v])
    t.true(Array.from(lost.o.data!).every(Number.isNaN))
    const allMasked = tensor(dtype, k.shape, new Array<number>(140).fill(-Infinity))
    t.true(Array.from((await forward(c, dtype, [ones, allMasked, v])).o.data!).every(Number.isNaN))
    const oneQuery = tensor(dtype, q.shape, [1, 1, NaN, 1, 1, 1])
    const single = await forward(c, dtype, [oneQuery, k, v])
    t.deepEqual(Array.from(single.o.data!, Number.isNaN), [false, false, true, true, false, false])
  })
}

test('attention refuses operands that do not fit together, naming what does not', async (t) => {
  const outputs = [tensor('f32', [1, 4, 6]), tensor('f32', [1, 2, 4])]
  const run = (sources: TestTensor[], heads: number, scale = 1) =>
    runOp('attention', sources, outputs, { heads, causal: 0, scale })
  const q = randomTensor('f32', [1, 4, 6], 1)
  const of = (shape: number[]) => randomTensor('f32', shape, 2)
  await t.throwsAsync(run([q, of([1, 5, 12])], 4), { message: /6 columns of q cannot be divided among 4 heads/ })
  await t.throwsAsync(run([q, of([1, 5, 10])], 2), { message: /kv has 10 columns, q has 6/ })
  await t.throwsAsync(run([q, of([2, 5, 12])], 2), { message: /kv has 2 samples, q has 1/ })
  await t.throwsAsync(run([q, of([1, 5, 6]), of([1, 4, 6])], 2), { message: /v is \[1, 4, 6\]/ })
  await t.throwsAsync(run([q, of([1, 5, 12])], 2, 0), { message: /scale is 0, expected a positive/ })
  await t.throwsAsync(run([q, of([1, 0, 12])], 2), { message: /there are no keys/ })
})

test('keys and values that no query looks at have gradients of zero', async (t) => {
  for (const dtype of ['f32', 'bf16'] as const) {
    const [q, kv] = [tensor(dtype, [2, 0, 16], []), randomTensor(dtype, [2, 5, 32], 1)]
    const [o, lse] = [tensor(dtype, [2, 0, 16], []), tensor('f32', [2, 2, 0], [])]
    const gradients = [tensor(dtype, [2, 0, 16]), tensor(dtype, [2, 5, 32])]
    const attributes = { heads: 2, causal: 0, scale: 0.5, sources: 2 }
    const [, dkv] = await runOp('attention_backward', [q, kv, o, lse, o], gradients, attributes)
    t.deepEqual(dkv, new Float32Array(2 * 5 * 32))
  }
})

// The environment is read once per process, so each narrower instruction set has one of its own.
const held: [isa: string, dtype: ComputeDType][] = [['generic', 'f32'], ['avx2', 'f32']]
if (devices().some((device) => device.isa === 'amx_bf16')) held.push(['amx', 'bf16'])

for (const [isa, dtype] of held) {
  test(`attention held to ${isa} agrees with the definition, too`, async (t) => {
    const root = path.join(__dirname, '../..')
    const cli = path.join(root, 'node_modules/ava/entrypoints/cli.mjs')
    const match = `attention and its gradients agree with the definition in ${dtype}`
    const args = [cli, 'test/native/attention.test.ts', '--match', match]
    const { stdout } = await promisify(execFile)(process.execPath, args, {
      cwd: root,
      env: { ...process.env, LORIKEET_CPU_ISA: isa },
    })
    t.regex(stdout, /1 test passed/)
  })
}
