import test, { type ExecutionContext } from 'ava'
import {
  buffer,
  elements,
  normals,
  randomTensor,
  rounded,
  runOp,
  tensor,
  type ComputeDType,
  type TestTensor,
} from '../helpers/run-op'
import { relativeL2 } from '../helpers/fixture-tensors'
import { runWithWeights } from '../helpers/run-weights'

const dtypes = ['f32', 'bf16'] as const
const values = (t: TestTensor) => t.data as number[]

/** c[m, n] += scale * a[m, k] b[k, n], each factor seen through (row, column) -> element. */
function addProduct(
  c: number[],
  stride: number,
  column: number,
  [m, n, k]: readonly [number, number, number],
  a: (row: number, inner: number) => number,
  b: (inner: number, column: number) => number,
  scale = 1,
): void {
  for (let i = 0; i < m; i++)
    for (let j = 0; j < n; j++) {
      let sum = 0
      for (let p = 0; p < k; p++) sum += a(i, p) * b(p, j)
      c[i * stride + column + j]! += scale * sum
    }
}

/** f32: 1e-6 and more of relative L2; bf16: three times the error of rounding the inputs' product once. */
function close(t: ExecutionContext, got: Float32Array, expected: number[], dtype: ComputeDType, message: string): void {
  const allowed = dtype === 'f32' ? 2e-6 : 3 * relativeL2(expected.map(rounded), expected) + 1e-6
  const error = relativeL2(got, expected)
  t.true(error <= allowed, `${message}: relative L2 ${error}, allowed ${allowed}`)
}

interface Layer {
  m: number
  n: number
  k: number
  ranks: number[]
  /** Ups of every adapter, as [first column, columns, first of h, of h]. */
  ups: (rank: number) => [number, number, number, number][]
}

const whole =
  (n: number) =>
  (rank: number): [number, number, number, number][] => [[0, n, 0, rank]]

const layers: Layer[] = [
  { m: 1, n: 24, k: 8, ranks: [], ups: whole(24) },
  { m: 77, n: 40, k: 24, ranks: [1], ups: whole(40) },
  { m: 5, n: 7, k: 3, ranks: [3], ups: whole(7) },
  { m: 64, n: 96, k: 32, ranks: [12], ups: (r) => [0, 1, 2].map((i) => [i * 32, 32, (i * r) / 3, r / 3]) },
  { m: 1031, n: 48, k: 40, ranks: [16, 5], ups: whole(48) },
  { m: 600, n: 64, k: 33, ranks: [128], ups: whole(64) },
  { m: 130, n: 65, k: 130, ranks: [4], ups: () => [[10, 20, 1, 2]] },
  { m: 132, n: 192, k: 320, ranks: [], ups: whole(192) }, // whole tiles: the gradient transposes the forward copy
]

function operandsOf({ m, n, k, ranks, ups }: Layer, dtype: ComputeDType, withBias: boolean) {
  const x = randomTensor(dtype, [m, k], 1)
  const w = randomTensor(dtype, [n, k], 2, 1 / Math.sqrt(k))
  const bias = withBias ? randomTensor('f32', [n], 3) : undefined
  const downs = ranks.map((r, a) => randomTensor(dtype, [r, k], 10 + a, 1 / Math.sqrt(k)))
  const parts = ranks.flatMap((r, adapter) =>
    ups(r).map(([column, columns, first, rank]) => ({ adapter, column, columns, first, rank })),
  )
  const upTensors = parts.map((p, u) => randomTensor(dtype, [p.columns, p.rank], 20 + u, 1 / Math.sqrt(p.rank)))
  const scale = ranks.map((_, a) => 0.7 + a)
  const attributes = {
    adapters: ranks.length,
    up_adapter: parts.map((p) => p.adapter),
    up_column: parts.map((p) => p.column),
    up_rank: parts.map((p) => p.first),
    scale,
  }
  return { x, w, bias, downs, upTensors, parts, attributes, scale }
}

for (const dtype of dtypes) {
  test(`linear applies weight, bias and adapters in ${dtype}`, async (t) => {
    for (const layer of layers) {
      for (const frozen of [true, false]) {
        const { m, n, k, ranks } = layer
        const { x, w, bias, downs, upTensors, parts, attributes, scale } = operandsOf(layer, dtype, frozen)
        const outputs = [tensor(dtype, [m, n]), ...ranks.map((r) => tensor(dtype, [m, r]))]
        const inputs = [x, w, bias, ...downs, ...upTensors]
        const got = frozen
          ? await runWithWeights('linear', inputs, outputs, attributes, { threads: 2 })
          : await runOp('linear', inputs, outputs, attributes)
        const X = values(x),
          W = values(w)
        const y = new Array<number>(m * n).fill(0).map((_, i) => (bias ? values(bias)[i % n]! : 0))
        addProduct(
          y,
          n,
          0,
          [m, n, k],
          (i, p) => X[i * k + p]!,
          (p, j) => W[j * k + p]!,
        )
        downs.forEach((down, a) => {
          const r = ranks[a]!,
            A = values(down)
          const h = new Array<number>(m * r).fill(0)
          addProduct(
            h,
            r,
            0,
            [m, r, k],
            (i, p) => X[i * k + p]!,
            (p, j) => A[j * k + p]!,
          )
          close(t, got[1 + a]!, h, dtype, `h ${a} of ${JSON.stringify(layer)}`)
          parts.forEach((part, u) => {
            if (part.adapter !== a) return
            const U = values(upTensors[u]!)
            const stored = Array.from(got[1 + a]!)
            addProduct(
              y,
              n,
              part.column,
              [m, part.columns, part.rank],
              (i, p) => stored[i * r + part.first + p]!,
              (p, j) => U[j * part.rank + p]!,
              scale[a],
            )
          })
        })
        close(t, got[0]!, y, dtype, `y of ${JSON.stringify(layer)}, frozen ${frozen}`)
      }
    }
  })

  test(`linear_input_grad applies the weight and adds the adapters' part in ${dtype}`, async (t) => {
    for (const layer of layers) {
      for (const frozen of [true, false]) {
        const { m, n, k, ranks } = layer
        const { w, downs } = operandsOf(layer, dtype, false)
        const dy = randomTensor(dtype, [m, n], 5)
        const dhs = ranks.map((r, a) => randomTensor(dtype, [m, r], 30 + a))
        const inputs = [dy, w, ...dhs, ...downs]
        const outputs = [tensor(dtype, [m, k])]
        const attributes = { adapters: ranks.length }
        const [dx] = frozen
          ? await runWithWeights('linear_input_grad', inputs, outputs, attributes, { threads: 2 })
          : await runOp('linear_input_grad', inputs, outputs, attributes)
        const expected = new Array<number>(m * k).fill(0)
        addProduct(
          expected,
          k,
          0,
          [m, k, n],
          (i, p) => values(dy)[i * n + p]!,
          (p, j) => values(w)[p * k + j]!,
        )
        ranks.forEach((r, a) =>
          addProduct(
            expected,
            k,
            0,
            [m, k, r],
            (i, p) => values(dhs[a]!)[i * r + p]!,
            (p, j) => values(downs[a]!)[p * k + j]!,
          ),
        )
        close(t, dx!, expected, dtype, `dx of ${JSON.stringify(layer)}, frozen ${frozen}`)
      }
    }
  })

  test(`low_rank_dh gathers each up's columns, sums where they overlap, leaves the rest zero, in ${dtype}`, async (t) => {
    const cases = [
      {
        m: 77,
        n: 24,
        rank: 6,
        ups: [
          [0, 8, 0, 2],
          [8, 8, 2, 2],
          [16, 8, 4, 2],
        ],
      },
      { m: 700, n: 40, rank: 8, ups: [[0, 40, 0, 8]] },
      {
        m: 3,
        n: 10,
        rank: 5,
        ups: [
          [0, 4, 1, 2],
          [5, 5, 2, 2],
        ],
      },
    ]
    for (const { m, n, rank, ups } of cases) {
      const dy = randomTensor(dtype, [m, n], 1)
      const tensors = ups.map(([, columns, , r], u) => randomTensor(dtype, [columns!, r!], 2 + u))
      const attributes = { up_column: ups.map((u) => u[0]!), up_rank: ups.map((u) => u[2]!), scale: 0.6, rank }
      const [dh] = await runOp('low_rank_dh', [dy, ...tensors], [tensor(dtype, [m, rank])], attributes)
      const expected = new Array<number>(m * rank).fill(0)
      ups.forEach(([column, columns, first, r], u) =>
        addProduct(
          expected,
          rank,
          first!,
          [m, r!, columns!],
          (i, p) => values(dy)[i * n + column! + p]!,
          (p, j) => values(tensors[u]!)[p * r! + j]!,
          0.6,
        ),
      )
      close(t, dh!, expected, dtype, `dh of ${m} x ${n}`)
    }
  })

  test(`linear_weight_grad adds a scaled product of columns to what is there, in ${dtype}`, async (t) => {
    const cases = [
      { m: 1, n: 3, k: 5, columns: [3, 5], at: [0, 0], scale: 1 },
      { m: 77, n: 16, k: 40, columns: [48, 40], at: [16, 0], scale: 0.5 },
      { m: 1030, n: 130, k: 7, columns: [130, 21], at: [0, 7], scale: 1.3 },
    ] as const
    for (const { m, n, k, columns, at, scale } of cases) {
      const dy = randomTensor(dtype, [m, columns[0]], 1)
      const x = randomTensor(dtype, [m, columns[1]], 2)
      const before = normals(n * k, 3)
      const dw = buffer('f32', [n, k], before)
      const [got] = await runOp('linear_weight_grad', [dy, x], [dw], { y_column: at[0], x_column: at[1], scale })
      const expected = [...before]
      addProduct(
        expected,
        k,
        0,
        [n, k, m],
        (i, p) => values(dy)[p * columns[0] + at[0] + i]!,
        (p, j) => values(x)[p * columns[1] + at[1] + j]!,
        scale,
      )
      close(t, got!, expected, 'f32', `dw ${n} x ${k} over ${m}`)
    }
  })

  test(`the fused product does not depend on the number of threads in ${dtype}`, async (t) => {
    const layer: Layer = { m: 1100, n: 64, k: 48, ranks: [16], ups: whole(64) }
    const { x, w, bias, downs, upTensors, attributes } = operandsOf(layer, dtype, true)
    const outputs = [tensor(dtype, [1100, 64]), tensor(dtype, [1100, 16])]
    const run = (threads: number) =>
      runWithWeights('linear', [x, w, bias, ...downs, ...upTensors], outputs, attributes, { threads })
    t.deepEqual(await run(1), await run(2))
  })
}

test('linear names what does not fit', async (t) => {
  const x = randomTensor('f32', [2, 3], 1)
  const error = await t.throwsAsync(runOp('linear', [x, randomTensor('f32', [4, 5], 2)], [tensor('f32', [2, 4])]))
  t.regex(error!.message, /linear.*w has shape \[4, 5\], x has shape \[2, 3\]/)
  const down = randomTensor('f32', [2, 4], 3)
  const attributes = { adapters: 1, up_adapter: [0], up_column: [0], up_rank: [0], scale: [1] }
  const inputs = [x, randomTensor('f32', [4, 3], 2), undefined, down, randomTensor('f32', [4, 2], 4)]
  const wrong = await t.throwsAsync(runOp('linear', inputs, [tensor('f32', [2, 4]), tensor('f32', [2, 2])], attributes))
  t.regex(wrong!.message, /down_0 has shape \[2, 4\], expected \[2, 3\]/)
  t.is(elements(down.shape), 8)
})
