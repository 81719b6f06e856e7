import test, { type ExecutionContext } from 'ava'
import { relativeL2 } from '../helpers/fixture-tensors'
import {
  buffer,
  elements,
  expectClose,
  normals,
  randomTensor,
  rounded,
  runOp,
  tensor,
  type ComputeDType,
  type TestTensor,
} from '../helpers/run-op'

const dtypes = ['f32', 'bf16'] as const
const eps = 1e-5

interface GroupCase {
  shape: number[]
  groups: number
  activation: 'none' | 'silu'
  shift: boolean
}

const groupCases: GroupCase[] = [
  { shape: [1, 4, 1], groups: 1, activation: 'none', shift: false },
  { shape: [2, 3, 5, 6], groups: 3, activation: 'silu', shift: true },
  { shape: [1, 7, 33], groups: 11, activation: 'silu', shift: false },
  { shape: [3, 64, 8], groups: 2, activation: 'none', shift: true },
  { shape: [1, 61, 320], groups: 32, activation: 'silu', shift: true },
  { shape: [2, 20, 20, 64], groups: 32, activation: 'none', shift: false },
]

const channelOf = (shape: readonly number[], i: number) => i % shape.at(-1)!
const sampleOf = (shape: readonly number[], i: number) => Math.floor(i / (elements(shape) / shape[0]!))

/** y, stats and all gradients in double precision, straight from the definition. */
function groupReference(
  c: GroupCase,
  x: ArrayLike<number>,
  gamma: ArrayLike<number>,
  beta: ArrayLike<number>,
  shift?: ArrayLike<number>,
  dy?: ArrayLike<number>,
) {
  const channels = c.shape.at(-1)!
  const width = channels / c.groups
  const count = elements(c.shape)
  const slot = (i: number) => sampleOf(c.shape, i) * c.groups + Math.floor(channelOf(c.shape, i) / width)
  const slots = c.shape[0]! * c.groups
  const size = count / slots
  const z = Array.from(x, (v, i) => v + (shift ? shift[sampleOf(c.shape, i) * channels + channelOf(c.shape, i)]! : 0))
  const means = (values: readonly number[]) => {
    const sums = new Array<number>(slots).fill(0)
    values.forEach((v, i) => (sums[slot(i)]! += v / size))
    return sums
  }
  const mean = means(z)
  const inverse = means(z.map((v, i) => (v - mean[slot(i)]!) ** 2)).map((v) => 1 / Math.sqrt(v + eps))
  const normal = z.map((v, i) => (v - mean[slot(i)]!) * inverse[slot(i)]!)
  const u = normal.map((v, i) => v * gamma[channelOf(c.shape, i)]! + beta[channelOf(c.shape, i)]!)
  const sigmoid = (v: number) => 1 / (1 + Math.exp(-v))
  const y = c.activation === 'silu' ? u.map((v) => v * sigmoid(v)) : u
  const stats = mean.flatMap((m, i) => [m, inverse[i]!])
  const du = u.map((v, i) => (dy?.[i] ?? 0) * (c.activation === 'silu' ? sigmoid(v) * (1 + v * (1 - sigmoid(v))) : 1))
  const g = du.map((v, i) => v * gamma[channelOf(c.shape, i)]!)
  const meanG = means(g)
  const meanGz = means(g.map((v, i) => v * normal[i]!))
  const dx = g.map((v, i) => (v - meanG[slot(i)]! - normal[i]! * meanGz[slot(i)]!) * inverse[slot(i)]!)
  const perChannel = (values: readonly number[]) => {
    const sums = new Array<number>(channels).fill(0)
    values.forEach((v, i) => (sums[channelOf(c.shape, i)]! += v))
    return sums
  }
  return { y, stats, dx, dgamma: perChannel(du.map((v, i) => v * normal[i]!)), dbeta: perChannel(du) }
}

function expectNear(
  t: ExecutionContext,
  got: ArrayLike<number>,
  expected: number[],
  dtype: ComputeDType,
  what: string,
) {
  const allowed = dtype === 'f32' ? 2e-6 : 2.5 * relativeL2(expected.map(rounded), expected) + 1e-6
  const error = relativeL2(got, expected)
  t.true(error <= allowed, `${what}: relative L2 ${error}, allowed ${allowed}`)
}

const parameters = (channels: number) => ({
  gamma: tensor('f32', [channels], Float32Array.from(normals(channels, 2, 0.5), (v) => v + 1)),
  beta: randomTensor('f32', [channels], 3, 0.5),
})

for (const dtype of dtypes) {
  test(`group_norm and its gradients agree with the definition in ${dtype}`, async (t) => {
    for (const c of groupCases) {
      const channels = c.shape.at(-1)!
      const x = randomTensor(dtype, c.shape, 1)
      const dy = randomTensor(dtype, c.shape, 5)
      const { gamma, beta } = parameters(channels)
      const shift = c.shift ? randomTensor(dtype, [c.shape[0]!, channels], 4) : undefined
      const expected = groupReference(c, x.data!, gamma.data!, beta.data!, shift?.data, dy.data!)
      const attributes = { groups: c.groups, eps, activation: c.activation }
      const statsShape = [c.shape[0]!, c.groups, 2]
      const outputs = [tensor(dtype, c.shape), tensor('f32', statsShape)]
      const [y, stats] = await runOp('group_norm', [x, gamma, beta, shift], outputs, attributes)
      expectNear(t, y!, expected.y, dtype, `y of ${JSON.stringify(c)}`)
      // A mean near zero has no relative precision of its own: the pair is compared as one vector.
      expectClose(t, stats!, expected.stats, 'f32')

      const before = randomTensor('f32', [channels], 6)
      const operands = [dy, x, gamma, beta, shift, tensor('f32', statsShape, stats)]
      const gradients = [tensor(dtype, c.shape), ...[1, 2].map(() => buffer('f32', [channels], before.data))]
      const [dx, dgamma, dbeta] = await runOp('group_norm_backward', operands, gradients, attributes)
      const plus = (values: number[]) => values.map((v, i) => v + before.data![i]!)
      expectNear(t, dx!, expected.dx, dtype, `dx of ${JSON.stringify(c)}`)
      expectNear(t, dgamma!, plus(expected.dgamma), 'f32', `dgamma of ${JSON.stringify(c)}`)
      expectNear(t, dbeta!, plus(expected.dbeta), 'f32', `dbeta of ${JSON.stringify(c)}`)

      const [inPlace] = await runOp('group_norm_backward', operands, [dy], attributes)
      t.deepEqual(inPlace, dx, 'dx in the place of dy')
    }
  })

  test(`layer_norm and its gradients agree with the definition in ${dtype}`, async (t) => {
    for (const shape of [[2, 4], [2, 5, 7], [9, 33], [70, 320], [3, 1280]]) {
      const channels = shape.at(-1)!
      const rows = elements(shape) / channels
      const x = randomTensor(dtype, shape, 7)
      const dy = randomTensor(dtype, shape, 8)
      const { gamma, beta } = parameters(channels)
      // A row is a sample with one group.
      const c: GroupCase = { shape: [rows, 1, channels], groups: 1, activation: 'none', shift: false }
      const expected = groupReference(c, x.data!, gamma.data!, beta.data!, undefined, dy.data!)
      const outputs = [tensor(dtype, shape), tensor('f32', [rows, 2])]
      const [y, stats] = await runOp('layer_norm', [x, gamma, beta], outputs, { eps })
      expectNear(t, y!, expected.y, dtype, `y of ${shape}`)
      expectClose(t, stats!, expected.stats, 'f32')
      const before = randomTensor('f32', [channels], 6)
      const operands = [dy, x, gamma, tensor('f32', [rows, 2], stats)]
      const gradients = [tensor(dtype, shape), ...[1, 2].map(() => buffer('f32', [channels], before.data))]
      const [dx, dgamma, dbeta] = await runOp('layer_norm_backward', operands, gradients, { eps })
      const plus = (values: number[]) => values.map((v, i) => v + before.data![i]!)
      expectNear(t, dx!, expected.dx, dtype, `dx of ${shape}`)
      expectNear(t, dgamma!, plus(expected.dgamma), 'f32', `dgamma of ${shape}`)
      expectNear(t, dbeta!, plus(expected.dbeta), 'f32', `dbeta of ${shape}`)
      const [inPlace] = await runOp('layer_norm_backward', operands, [dy], { eps })
      t.deepEqual(inPlace, dx, 'dx in the place of dy')
    }
  })

  test(`layer_norm without gamma and beta has the bits of ones and zeros in ${dtype}`, async (t) => {
    for (const [rows, channels] of [[5, 33], [7, 320]] as const) {
      const x = randomTensor(dtype, [rows, channels], 17)
      const dy = randomTensor(dtype, [rows, channels], 18)
      const run = async (gamma?: TestTensor, beta?: TestTensor) => {
        const outputs = [tensor(dtype, [rows, channels]), tensor('f32', [rows, 2])]
        const [y, stats] = await runOp('layer_norm', [x, gamma, beta], outputs, { eps })
        const operands = [dy, x, gamma, tensor('f32', [rows, 2], stats)]
        const [dx] = await runOp('layer_norm_backward', operands, [tensor(dtype, [rows, channels])], { eps })
        return { y, stats, dx }
      }
      const filled = (value: number) => tensor('f32', [channels], new Array(channels).fill(value))
      t.deepEqual(await run(), await run(filled(1), filled(0)))
      const { gamma, beta } = parameters(channels)
      t.deepEqual(await run(gamma), await run(gamma, filled(0)))
      t.deepEqual(await run(undefined, beta), await run(filled(1), beta))
    }
  })

  test(`the bits of the norms do not depend on the number of threads in ${dtype}`, async (t) => {
    const shape = [2, 31, 17, 48]
    const x = randomTensor(dtype, shape, 9)
    const dy = randomTensor(dtype, shape, 10)
    const { gamma, beta } = parameters(48)
    const rows = elements(shape) / 48
    const run = async (threads: number) => {
      const y = () => tensor(dtype, shape)
      const gradients = () => [y(), buffer('f32', [48]), buffer('f32', [48])]
      const group = { groups: 8, eps, activation: 'silu' }
      const first = await runOp('group_norm', [x, gamma, beta], [y(), tensor('f32', [2, 8, 2])], group, { threads })
      const inner = [dy, x, gamma, beta, undefined, tensor('f32', [2, 8, 2], first[1])]
      const second = await runOp('group_norm_backward', inner, gradients(), group, { threads })
      const third = await runOp('layer_norm', [x, gamma, beta], [y(), tensor('f32', [rows, 2])], { eps }, { threads })
      const outer = [dy, x, gamma, tensor('f32', [rows, 2], third[1])]
      const fourth = await runOp('layer_norm_backward', outer, gradients(), { eps }, { threads })
      return [first, second, third, fourth]
    }
    const one = await run(1)
    t.deepEqual(await run(2), one)
    t.deepEqual(await run(3), one)
  })
}

test('a row or group of one element becomes beta, and has no gradient', async (t) => {
  const x = randomTensor('f32', [3, 1], 15)
  const { gamma, beta } = parameters(1)
  const outputs = [tensor('f32', [3, 1]), tensor('f32', [3, 2])]
  const [y, stats] = await runOp('layer_norm', [x, gamma, beta], outputs, { eps })
  t.deepEqual(Array.from(y!), new Array(3).fill(beta.data![0]))
  const dy = randomTensor('f32', [3, 1], 16)
  const operands = [dy, x, gamma, tensor('f32', [3, 2], stats)]
  const [dx] = await runOp('layer_norm_backward', operands, [tensor('f32', [3, 1])], { eps })
  dx!.forEach((v, i) => t.true(Math.abs(v) <= 1e-6 * Math.abs(dy.data![i]! * gamma.data![0]! * stats![2 * i + 1]!)))
  const group = { groups: 1, eps, activation: 'none' }
  const image = tensor('f32', [3, 1, 1], x.data)
  const [z] = await runOp('group_norm', [image, gamma, beta], [image, tensor('f32', [3, 1, 2])], group)
  t.deepEqual(Array.from(z!), new Array(3).fill(beta.data![0]))
})

test('statistics stay exact where the mean is much larger than the spread', async (t) => {
  const shape = [1, 50, 50, 32]
  const x = tensor('f32', shape, Array.from(randomTensor('f32', shape, 11).data!, (v) => Math.fround(v + 1000)))
  const { gamma, beta } = parameters(32)
  const c: GroupCase = { shape, groups: 4, activation: 'none', shift: false }
  const expected = groupReference(c, x.data!, gamma.data!, beta.data!)
  const outputs = [tensor('f32', shape), tensor('f32', [1, 4, 2])]
  const attributes = { groups: 4, eps, activation: 'none' }
  const [, stats] = await runOp('group_norm', [x, gamma, beta], outputs, attributes)
  expected.stats.forEach((v, i) => t.true(Math.abs(stats![i]! / v - 1) < 1e-6, `${i}: ${stats![i]} instead of ${v}`))
})

test('a value that is not finite spoils its group or row, and no other', async (t) => {
  for (const bad of [NaN, Infinity, -Infinity]) {
    const data = Array.from(randomTensor('f32', [1, 6, 8], 12).data!, (v, i) => (i === 9 ? bad : v))
    const x = tensor('f32', [1, 6, 8], data)
    const { gamma, beta } = parameters(8)
    const spoilt = (y: ArrayLike<number>) => Array.from(y, (v) => !Number.isFinite(v))
    const stats = tensor('f32', [1, 2, 2])
    const attributes = { groups: 2, eps, activation: 'silu' }
    const [y] = await runOp('group_norm', [x, gamma, beta], [tensor('f32', x.shape), stats], attributes)
    t.deepEqual(spoilt(y!), Array.from({ length: 48 }, (_, i) => i % 8 < 4))
    const [z] = await runOp('layer_norm', [x, gamma, beta], [tensor('f32', [1, 6, 8]), tensor('f32', [6, 2])], { eps })
    t.deepEqual(spoilt(z!), Array.from({ length: 48 }, (_, i) => Math.floor(i / 8) === 1))
  }
})

test('group_norm refuses operands that do not fit together', async (t) => {
  const { gamma, beta } = parameters(6)
  const outputs = (groups: number): TestTensor[] => [tensor('f32', [1, 5, 6]), tensor('f32', [1, groups, 2])]
  const x = randomTensor('f32', [1, 5, 6], 13)
  const run = (operands: TestTensor[], groups: number, activation = 'none') =>
    runOp('group_norm', operands, outputs(groups), { groups, eps, activation })
  await t.throwsAsync(run([x, gamma, beta], 4), { message: /6 channels cannot be divided into 4 groups/ })
  await t.throwsAsync(run([x, gamma, beta], 2, 'relu'), { message: /activation 'relu' must be 'none' or 'silu'/ })
  await t.throwsAsync(run([x, gamma, beta, randomTensor('f32', [1, 5], 14)], 2), { message: /shift is \[1, 5\]/ })
})
