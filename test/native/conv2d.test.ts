import test, { type ExecutionContext } from 'ava'
import { relativeL2 } from '../helpers/fixture-tensors'
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
import { runWithWeights } from '../helpers/run-weights'

const dtypes = ['f32', 'bf16'] as const
const values = (t: TestTensor) => t.data as number[]

interface Geometry {
  image: [number, number, number, number]
  o: number
  k: [number, number]
  stride: number
  padding: [number, number, number, number]
  rank?: number
}

const geometries: Geometry[] = [
  { image: [1, 8, 8, 4], o: 32, k: [3, 3], stride: 1, padding: [1, 1, 1, 1] },
  { image: [2, 7, 9, 8], o: 3, k: [3, 3], stride: 1, padding: [1, 1, 1, 1], rank: 2 },
  { image: [1, 9, 6, 3], o: 16, k: [3, 3], stride: 2, padding: [1, 1, 1, 1], rank: 5 },
  { image: [1, 8, 8, 16], o: 16, k: [3, 3], stride: 2, padding: [0, 1, 0, 1] },
  { image: [2, 5, 5, 24], o: 8, k: [1, 1], stride: 1, padding: [0, 0, 0, 0], rank: 4 },
  { image: [1, 6, 6, 8], o: 4, k: [1, 1], stride: 2, padding: [0, 0, 0, 0] },
  { image: [1, 33, 35, 8], o: 40, k: [3, 3], stride: 1, padding: [1, 1, 1, 1], rank: 16 },
  { image: [1, 32, 32, 64], o: 128, k: [3, 3], stride: 1, padding: [1, 1, 1, 1] }, // whole tiles, turned in every run
  { image: [1, 5, 4, 6], o: 5, k: [3, 2], stride: 1, padding: [0, 2, 1, 0], rank: 1 },
]

const outputOf = ({ image: [n, h, w], k, stride, padding: p }: Geometry): [number, number, number] => [
  n,
  Math.floor((h + p[0] + p[1] - k[0]) / stride) + 1,
  Math.floor((w + p[2] + p[3] - k[1]) / stride) + 1,
]

/** Visits every pair of pixels that the convolution joins, with the tap of the window between them. */
function eachTap(g: Geometry, visit: (outputPixel: number, inputPixel: number, tap: number) => void): void {
  const [, h, w] = g.image
  const [n, ho, wo] = outputOf(g)
  for (let b = 0; b < n; b++)
    for (let y = 0; y < ho; y++)
      for (let x = 0; x < wo; x++)
        for (let i = 0; i < g.k[0]; i++)
          for (let j = 0; j < g.k[1]; j++) {
            const row = y * g.stride - g.padding[0] + i
            const column = x * g.stride - g.padding[2] + j
            if (row < 0 || row >= h || column < 0 || column >= w) continue
            visit((b * ho + y) * wo + x, (b * h + row) * w + column, i * g.k[1] + j)
          }
}

const weightAt = (g: Geometry, o: number, tap: number, c: number) => (o * g.k[0] * g.k[1] + tap) * g.image[3] + c

function convolve(g: Geometry, x: number[], w: number[], outputs: number): number[] {
  const c = g.image[3]
  const y = new Array<number>(outputOf(g).reduce((a, b) => a * b) * outputs).fill(0)
  eachTap(g, (to, from, tap) => {
    for (let o = 0; o < outputs; o++)
      for (let i = 0; i < c; i++) y[to * outputs + o]! += x[from * c + i]! * w[weightAt(g, o, tap, i)]!
  })
  return y
}

function close(t: ExecutionContext, got: Float32Array, expected: number[], dtype: ComputeDType, message: string): void {
  const allowed = dtype === 'f32' ? 2e-6 : 3 * relativeL2(expected.map(rounded), expected) + 1e-6
  const error = relativeL2(got, expected)
  t.true(error <= allowed, `${message}: relative L2 ${error}, allowed ${allowed}`)
}

for (const dtype of dtypes) {
  for (const frozen of [true, false]) {
    const where = frozen ? 'a frozen weight' : 'a trainable weight'

    test(`conv2d convolves with ${where}, bias and adapters in ${dtype}`, async (t) => {
      for (const g of geometries) {
        const c = g.image[3],
          o = g.o,
          r = g.rank ?? 0
        const x = randomTensor(dtype, g.image, 1)
        const w = randomTensor(dtype, [o, ...g.k, c], 2, 1 / Math.sqrt(c * 9))
        const bias = frozen ? randomTensor('f32', [o], 3) : undefined
        const down = randomTensor(dtype, [r, ...g.k, c], 4, 1 / Math.sqrt(c * 9))
        const up = randomTensor(dtype, [o, r], 5)
        const shape = [...outputOf(g), o]
        const attributes = {
          stride: g.stride,
          padding: [...g.padding],
          adapters: r ? 1 : 0,
          up_adapter: r ? [0] : [],
          up_column: r ? [0] : [],
          up_rank: r ? [0] : [],
          scale: r ? [0.8] : [],
        }
        const inputs = [x, w, bias, ...(r ? [down, up] : [])]
        const outputs = [tensor(dtype, shape), ...(r ? [tensor(dtype, [...outputOf(g), r])] : [])]
        const got = frozen
          ? await runWithWeights('conv2d', inputs, outputs, attributes, { threads: 2 })
          : await runOp('conv2d', inputs, outputs, attributes)
        const y = convolve(g, values(x), values(w), o).map((v, i) => v + (bias ? values(bias)[i % o]! : 0))
        if (r) {
          close(t, got[1]!, convolve(g, values(x), values(down), r), dtype, `h of ${JSON.stringify(g)}`)
          for (let p = 0; p < y.length / o; p++)
            for (let j = 0; j < o; j++)
              for (let q = 0; q < r; q++) y[p * o + j]! += 0.8 * got[1]![p * r + q]! * values(up)[j * r + q]!
        }
        close(t, got[0]!, y, dtype, `y of ${JSON.stringify(g)}`)
      }
    })

    test(`conv2d_input_grad is the transposed convolution with ${where} and adapters in ${dtype}`, async (t) => {
      for (const g of geometries) {
        const c = g.image[3],
          o = g.o,
          r = g.rank ?? 0
        const w = randomTensor(dtype, [o, ...g.k, c], 2, 1 / Math.sqrt(o * 9))
        const dy = randomTensor(dtype, [...outputOf(g), o], 6)
        const down = randomTensor(dtype, [r, ...g.k, c], 4, 1 / Math.sqrt(o * 9))
        const dh = randomTensor(dtype, [...outputOf(g), r], 7)
        const attributes = { stride: g.stride, padding: [...g.padding], adapters: r ? 1 : 0 }
        const inputs = [dy, w, ...(r ? [dh, down] : [])]
        const [dx] = frozen
          ? await runWithWeights('conv2d_input_grad', inputs, [tensor(dtype, g.image)], attributes, { threads: 2 })
          : await runOp('conv2d_input_grad', inputs, [tensor(dtype, g.image)], attributes)
        const expected = new Array<number>(elements(g.image)).fill(0)
        const add = (gradient: number[], weight: number[], outputs: number) =>
          eachTap(g, (to, from, tap) => {
            for (let j = 0; j < outputs; j++)
              for (let i = 0; i < c; i++)
                expected[from * c + i]! += gradient[to * outputs + j]! * weight[weightAt(g, j, tap, i)]!
          })
        add(values(dy), values(w), o)
        if (r) add(values(dh), values(down), r)
        close(t, dx!, expected, dtype, `dx of ${JSON.stringify(g)}`)
      }
    })
  }

  test(`conv2d_weight_grad adds its scaled sum to what is there, in ${dtype}`, async (t) => {
    for (const g of geometries) {
      const c = g.image[3],
        o = g.o
      const x = randomTensor(dtype, g.image, 1)
      const dy = randomTensor(dtype, [...outputOf(g), o], 6)
      const shape = [o, ...g.k, c]
      const before = normals(elements(shape), 8)
      const attributes = { stride: g.stride, padding: [...g.padding], scale: 0.7 }
      const [dw] = await runOp('conv2d_weight_grad', [dy, x], [buffer('f32', shape, before)], attributes)
      const expected = [...before]
      eachTap(g, (to, from, tap) => {
        for (let j = 0; j < o; j++)
          for (let i = 0; i < c; i++)
            expected[weightAt(g, j, tap, i)]! += 0.7 * values(dy)[to * o + j]! * values(x)[from * c + i]!
      })
      close(t, dw!, expected, 'f32', `dw of ${JSON.stringify(g)}`)
    }
  })
}

test('conv2d names what does not fit', async (t) => {
  const x = randomTensor('f32', [1, 4, 4, 3], 1)
  const w = randomTensor('f32', [2, 3, 3, 4], 2)
  const attributes = { stride: 1, padding: [1, 1, 1, 1] }
  const channels = await t.throwsAsync(runOp('conv2d', [x, w], [tensor('f32', [1, 4, 4, 2])], attributes))
  t.regex(channels!.message, /conv2d: the image \[1, 4, 4, 3\].*the weight \[2, 3, 3, 4\]/)
  const fitting = randomTensor('f32', [2, 3, 3, 3], 2)
  const output = await t.throwsAsync(runOp('conv2d', [x, fitting], [tensor('f32', [1, 4, 5, 2])], attributes))
  t.regex(output!.message, /the output has shape \[1, 4, 5, 2\], expected \[1, 4, 4, 2\]/)
})
