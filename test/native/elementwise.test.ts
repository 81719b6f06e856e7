import test from 'ava'
import { buffer, elements, expectClose, randomTensor, rounded, runOp, tensor, type TestTensor } from '../helpers/run-op'

const dtypes = ['f32', 'bf16'] as const
// Odd lengths that no vector divides, and one of several pieces of work.
const shapes = [[1, 1], [3, 7], [2, 3, 33], [5, 4099]]

/** P(X < x) of the standard normal distribution: a Taylor series near 0, a continued fraction in the tails. */
function normalCdf(x: number): number {
  const a = Math.abs(x)
  const density = Math.exp(-0.5 * x * x) / Math.sqrt(2 * Math.PI)
  if (a < 5) {
    let term = a
    let sum = a
    for (let k = 1; k < 120; k++) sum += term *= (a * a) / (2 * k + 1)
    return x < 0 ? 0.5 - density * sum : 0.5 + density * sum
  }
  let fraction = a
  for (let k = 60; k >= 1; k--) fraction = a + k / fraction
  return x < 0 ? density / fraction : 1 - density / fraction
}
const sigmoid = (x: number) => 1 / (1 + Math.exp(-x))
const gelu = (x: number) => x * normalCdf(x)
const activations: Record<string, (x: number) => number> = {
  silu: (x) => x * sigmoid(x),
  gelu,
  gelu_tanh: (x) => 0.5 * x * (1 + Math.tanh(Math.sqrt(2 / Math.PI) * (x + 0.044715 * x ** 3))),
  quick_gelu: (x) => x * sigmoid(1.702 * x),
}
const slope = (f: (x: number) => number) => (x: number) => (f(x + 1e-4) - f(x - 1e-4)) / 2e-4
const values = (t: TestTensor) => Array.from(t.data!)

for (const dtype of dtypes) {
  for (const [kind, f] of Object.entries(activations)) {
    test(`activation ${kind} and its backward agree with double precision in ${dtype}`, async (t) => {
      for (const shape of shapes) {
        const x = randomTensor(dtype, shape, 1, 3)
        const dy = randomTensor(dtype, shape, 2)
        const upstream = values(dy)
        const [y] = await runOp('activation', [x], [tensor(dtype, shape)], { kind })
        expectClose(t, y!, values(x).map(f), dtype)
        const [dx] = await runOp('activation_backward', [dy, x], [tensor(dtype, shape)], { kind })
        expectClose(t, dx!, values(x).map((v, i) => slope(f)(v) * upstream[i]!), dtype)
      }
    })
  }

  test(`geglu and its backward agree with double precision in ${dtype}`, async (t) => {
    for (const columns of [1, 7, 33, 1280]) {
      const x = randomTensor(dtype, [3, 13, 2 * columns], 3, 2)
      const dy = randomTensor(dtype, [3, 13, columns], 4)
      const data = values(x)
      const upstream = values(dy)
      const at = (i: number) => Math.floor(i / columns) * 2 * columns + (i % columns)
      const value = (i: number) => data[at(i)]!
      const gate = (i: number) => data[at(i) + columns]!
      const [y] = await runOp('geglu', [x], [tensor(dtype, dy.shape)])
      const n = elements(dy.shape)
      expectClose(t, y!, Array.from({ length: n }, (_, i) => value(i) * gelu(gate(i))), dtype)

      const [dx] = await runOp('geglu_backward', [dy, x], [tensor(dtype, x.shape)])
      const expected = new Array<number>(2 * n)
      for (let i = 0; i < n; i++) {
        expected[at(i)] = upstream[i]! * gelu(gate(i))
        expected[at(i) + columns] = upstream[i]! * value(i) * slope(gelu)(gate(i))
      }
      expectClose(t, dx!, expected, dtype)
    }
  })

  test(`add agrees with double precision in ${dtype}, in place too`, async (t) => {
    for (const shape of shapes) {
      const a = randomTensor(dtype, shape, 5)
      const b = randomTensor(dtype, shape, 6)
      const other = values(b)
      const expected = values(a).map((v, i) => v + other[i]!)
      for (const y of [tensor(dtype, shape), a, b]) {
        const [sum] = await runOp('add', [a, b], [y])
        expectClose(t, sum!, expected, dtype)
      }
    }
  })

  test(`mix weighs each sample by its own factors in ${dtype}`, async (t) => {
    for (const columns of [1, 7, 33, 20000]) {
      const a = randomTensor('f32', [3, columns], 7)
      const b = randomTensor('f32', [3, columns], 8)
      const ca = [0.5, -2, 0]
      const cb = [1, 0.25, 3]
      const factors = [tensor('f32', [3], ca), tensor('f32', [3], cb)]
      const [y] = await runOp('mix', [a, b, ...factors], [tensor(dtype, [3, columns])])
      const other = values(b)
      const sample = (i: number) => Math.floor(i / columns)
      expectClose(t, y!, values(a).map((v, i) => ca[sample(i)]! * v + cb[sample(i)]! * other[i]!), dtype)
    }
  })

  test(`cast to ${dtype} rounds to nearest even`, async (t) => {
    const ties = [1 + 2 ** -8, 1 + 3 * 2 ** -8, -1 - 2 ** -8, 3.3895e38, -0, Infinity, -Infinity, NaN]
    for (const from of dtypes) {
      const x = from === 'f32' ? tensor('f32', [ties.length], ties) : randomTensor('bf16', [3, 33], 9)
      const [y] = await runOp('cast', [x], [tensor(dtype, x.shape)])
      t.deepEqual(Array.from(y!), Array.from(Float32Array.from(values(x)), dtype === 'bf16' ? rounded : (v) => v))
    }
  })

  test(`clear fills ${dtype} memory with zeros`, async (t) => {
    const y = buffer(dtype, [33], new Array(33).fill(NaN))
    t.deepEqual(Array.from((await runOp('clear', [], [y]))[0]!), new Array(33).fill(0))
  })
}

test('silu and quick_gelu keep seven digits over the whole range', async (t) => {
  const x = tensor('f32', [20001], Array.from({ length: 20001 }, (_, i) => Math.fround((i - 10000) / 200)))
  for (const kind of ['silu', 'quick_gelu']) {
    const [y] = await runOp('activation', [x], [tensor('f32', x.shape)], { kind })
    const errors = values(x).map((v, i) => (v === 0 ? 0 : Math.abs(y![i]! / activations[kind]!(v) - 1)))
    // The argument of e^x carries half a unit in the last place: up to 50 * 1.702 * 2^-24 for quick_gelu.
    t.true(Math.max(...errors) < (kind === 'silu' ? 4e-7 : 6e-6), `${kind}: ${Math.max(...errors)}`)
  }
})

test('a NaN stays a NaN and touches nothing else', async (t) => {
  for (const dtype of dtypes) {
    const x = randomTensor(dtype, [1, 66], 10)
    const dy = randomTensor(dtype, [1, 33], 11)
    const data = values(x)
    data[40] = NaN
    const broken = tensor(dtype, [1, 66], data)
    const expectNaNs = async (places: number[], op: string, inputs: TestTensor[], columns: number, kind = '') => {
      const [y] = await runOp(op, inputs, [tensor(dtype, [1, columns])], { kind })
      t.deepEqual(Array.from(y!.keys()).filter((i) => Number.isNaN(y![i])), places)
    }
    for (const kind of Object.keys(activations)) {
      await expectNaNs([40], 'activation', [broken], 66, kind)
      await expectNaNs([40], 'activation_backward', [x, broken], 66, kind)
    }
    await expectNaNs([40], 'add', [x, broken], 66)
    await expectNaNs([7], 'geglu', [broken], 33)
    await expectNaNs([7, 40], 'geglu_backward', [dy, broken], 66)
  }
})

test('operands that do not fit are refused with the op, the operand and both shapes', async (t) => {
  const x = randomTensor('f32', [2, 6], 12)
  const refused = (run: Promise<unknown>, message: RegExp) => t.throwsAsync(run, { message })
  const y = tensor('f32', [2, 6])
  await refused(runOp('add', [x, randomTensor('f32', [6, 2], 1)], [y]), /add: b is \[6, 2\].*\[2, 6\]/)
  await refused(runOp('add', [x, randomTensor('bf16', [2, 6], 1)], [y]), /add: b is bf16.*must be f32/)
  await refused(runOp('add', [x], [y]), /add: input 1 \(b\) is absent/)
  await refused(runOp('geglu', [x], [y]), /geglu: y is \[2, 6\].*x \[2, 6\].*\[2, 3\]/)
  await refused(runOp('activation', [x], [y], { kind: 'relu' }), /activation: kind is 'relu'/)
  await refused(runOp('cast', [tensor('i32', [2], [1, 2])], [tensor('f32', [2])]), /cast: x is i32/)
})
