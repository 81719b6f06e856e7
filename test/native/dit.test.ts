import test from 'ava'
import { buffer, elements, expectClose, randomTensor, runOp, tensor, type TestTensor } from '../helpers/run-op'

// What transformers of the DiT family add: RMS norms, modulation by sample, gated residuals, rotary embedding.

const dtypes = ['f32', 'bf16'] as const
const eps = 1e-5
const values = (t: TestTensor) => Array.from(t.data!)
const near = (got: ArrayLike<number>, expected: number[], tolerance: number) =>
  got.length === expected.length && expected.every((v, i) => Math.abs(got[i]! - v) <= tolerance * Math.abs(v))

/** Rows of a few lanes, of a warp, of several accesses a lane, and longer; of whole accesses and not; many rows. */
const normShapes = [
  [1, 1],
  [2, 5, 7],
  [150, 40],
  [3, 5, 64],
  [2, 35, 2, 128],
  [37, 256],
  [9, 1000],
  [5, 1280],
  [40, 33],
  [1100, 264],
]

/** Heads side by side and apart, of whole accesses and not, a token wider than a block. */
const rotaryShapes = [
  { shape: [2, 3, 2], head: 2 },
  { shape: [2, 5, 24], head: 6 },
  { shape: [1, 4, 3, 10], head: 10 },
  { shape: [3, 7, 64], head: 16 },
  { shape: [2, 33, 2, 128], head: 128 },
  { shape: [1, 2, 3072], head: 128 },
]

/** Of rms_norm in double precision, straight from the definition. */
function rmsReference(columns: number, x: number[], weight: number[], dy: number[], eps: number) {
  const rows = x.length / columns
  const row = (values: number[], r: number) => values.slice(r * columns, (r + 1) * columns)
  const mean = (values: number[]) => values.reduce((sum, v) => sum + v, 0) / columns
  const stats = Array.from({ length: rows }, (_, r) => 1 / Math.sqrt(mean(row(x, r).map((v) => v * v)) + eps))
  const z = x.map((v, i) => v * stats[Math.floor(i / columns)]!)
  const g = dy.map((v, i) => v * weight[i % columns]!)
  const slopes = stats.map((_, r) => mean(row(g, r).map((v, c) => v * z[r * columns + c]!)))
  const dweight = new Array<number>(columns).fill(0)
  dy.forEach((v, i) => (dweight[i % columns]! += v * z[i]!))
  return {
    y: z.map((v, i) => v * weight[i % columns]!),
    stats,
    dx: g.map((v, i) => {
      const r = Math.floor(i / columns)
      return (v - z[i]! * slopes[r]!) * stats[r]!
    }),
    dweight,
  }
}

for (const dtype of dtypes) {
  test(`rms_norm and its gradients agree with the definition in ${dtype}`, async (t) => {
    for (const shape of normShapes) {
      const columns = shape.at(-1)!
      const rows = elements(shape) / columns
      const x = randomTensor(dtype, shape, 1)
      const dy = randomTensor(dtype, shape, 2)
      const weight = randomTensor('f32', [columns], 3)
      const expected = rmsReference(columns, values(x), values(weight), values(dy), eps)
      const [y, stats] = await runOp('rms_norm', [x, weight], [tensor(dtype, shape), tensor('f32', [rows])], { eps })
      expectClose(t, y!, expected.y, dtype)
      expectClose(t, stats!, expected.stats, 'f32')

      const before = randomTensor('f32', [columns], 4)
      const sum = () => buffer('f32', [columns], before.data)
      const operands = [dy, x, weight, tensor('f32', [rows], stats)]
      const [dx, dweight] = await runOp('rms_norm_backward', operands, [tensor(dtype, shape), sum()])
      expectClose(t, dweight!, expected.dweight.map((v, c) => v + before.data![c]!), 'f32')
      // Of a row of one, nothing is left but eps: what cancels has no relative precision.
      if (columns > 1) expectClose(t, dx!, expected.dx, dtype)
      const [inPlace, beside] = await runOp('rms_norm_backward', operands, [dy, sum()])
      t.deepEqual(inPlace, dx, 'dx in the place of dy')
      t.deepEqual(beside, dweight)
      t.deepEqual((await runOp('rms_norm_backward', operands, [tensor(dtype, shape)]))[0], dx, 'dx alone')
      t.deepEqual((await runOp('rms_norm_backward', operands, [undefined, sum()]))[1], dweight, 'dweight alone')
    }
  })

  test(`modulate, gate and their gradients agree with the definition in ${dtype}`, async (t) => {
    for (const shape of [[1, 1, 1], [3, 8], [2, 5, 7], [3, 70, 40], [2, 3, 5, 33], [2, 130, 264], [1, 33, 520]]) {
      const [samples, columns] = [shape[0]!, shape.at(-1)!]
      const x = randomTensor(dtype, shape, 5)
      const z = randomTensor(dtype, shape, 6)
      const dy = randomTensor(dtype, shape, 7)
      const scale = randomTensor(dtype, [samples, columns], 8)
      const shift = randomTensor(dtype, [samples, columns], 9)
      const like = () => tensor(dtype, shape)
      const vector = () => tensor(dtype, [samples, columns])
      const slot = (i: number) => Math.floor(i / (elements(shape) / samples)) * columns + (i % columns)
      const sums = (terms: number[]) => {
        const totals = new Array<number>(samples * columns).fill(0)
        terms.forEach((v, i) => (totals[slot(i)]! += v))
        return totals
      }
      const [xs, zs, dys] = [values(x), values(z), values(dy)]
      const [scales, shifts] = [values(scale), values(shift)]

      const [y] = await runOp('modulate', [x, scale, shift], [like()])
      expectClose(t, y!, xs.map((v, i) => v * (1 + scales[slot(i)]!) + shifts[slot(i)]!), dtype)
      t.deepEqual((await runOp('modulate', [x, scale, shift], [x]))[0], y, 'y in the place of x')
      const [sum] = await runOp('gate', [x, z, scale], [like()])
      expectClose(t, sum!, xs.map((v, i) => v + scales[slot(i)]! * zs[i]!), dtype)
      for (const place of [x, z]) t.deepEqual((await runOp('gate', [x, z, scale], [place]))[0], sum, 'y in place')

      const all = await runOp('modulate_backward', [dy, x, scale], [like(), vector(), vector()])
      const [dx, dscale, dshift] = all
      expectClose(t, dx!, dys.map((v, i) => v * (1 + scales[slot(i)]!)), dtype)
      expectClose(t, dscale!, sums(dys.map((v, i) => v * xs[i]!)), dtype)
      expectClose(t, dshift!, sums(dys), dtype)
      t.deepEqual(await runOp('modulate_backward', [dy, x, scale], [dy, vector(), vector()]), all, 'dx in place')
      t.deepEqual((await runOp('modulate_backward', [dy, undefined, scale], [like()]))[0], dx, 'dx alone')
      const alone = await runOp('modulate_backward', [dy, x, scale], [undefined, vector()])
      t.deepEqual(alone[1], dscale, 'dscale alone')
      const last = await runOp('modulate_backward', [dy, undefined, scale], [undefined, undefined, vector()])
      t.deepEqual(last[2], dshift, 'dshift alone')

      const both = await runOp('gate_backward', [dy, z, scale], [like(), vector()])
      expectClose(t, both[0]!, dys.map((v, i) => v * scales[slot(i)]!), dtype)
      expectClose(t, both[1]!, sums(dys.map((v, i) => v * zs[i]!)), dtype)
      t.deepEqual((await runOp('gate_backward', [dy, undefined, scale], [dy]))[0], both[0], 'dz alone, in place')
      t.deepEqual((await runOp('gate_backward', [dy, z, scale], [undefined, vector()]))[1], both[1], 'dgate alone')
    }
  })

  test(`rotary_embedding turns pairs of columns by the angle of their token in ${dtype}`, async (t) => {
    for (const { shape, head } of rotaryShapes) {
      const tokens = shape[1]!
      const x = randomTensor(dtype, shape, 10)
      const turns = randomTensor('f32', [tokens, head / 2], 11, 3)
      const table = (of: (angle: number) => number) => Float32Array.from(values(turns), of)
      const cos = tensor('f32', turns.shape, table(Math.cos))
      const sin = tensor('f32', turns.shape, table(Math.sin))
      const turned = (sign: number) =>
        values(x).map((v, i) => {
          const token = Math.floor(i / elements(shape.slice(2))) % tokens
          const angle = (token * head) / 2 + Math.floor((i % head) / 2)
          const [c, s] = [cos.data![angle]!, sign * sin.data![angle]!]
          return i % 2 === 0 ? v * c - x.data![i + 1]! * s : v * c + x.data![i - 1]! * s
        })
      const [y] = await runOp('rotary_embedding', [x, cos, sin], [tensor(dtype, shape)], { inverse: 0 })
      expectClose(t, y!, turned(1), dtype)
      const [back] = await runOp('rotary_embedding', [x, cos, sin], [x], { inverse: 1 })
      expectClose(t, back!, turned(-1), dtype)
    }
  })

  test(`the bits of gradients by weights and samples do not depend on the number of threads in ${dtype}`, async (t) => {
    const shape = [2, 700, 48]
    const x = randomTensor(dtype, shape, 12)
    const dy = randomTensor(dtype, shape, 13)
    const scale = randomTensor(dtype, [2, 48], 14)
    const [weight, stats] = [randomTensor('f32', [48], 15), randomTensor('f32', [1400], 16)]
    const run = async (threads: number) => [
      await runOp('rms_norm_backward', [dy, x, weight, stats], [undefined, buffer('f32', [48])], {}, { threads }),
      await runOp(
        'modulate_backward',
        [dy, x, scale],
        [undefined, tensor(dtype, [2, 48]), tensor(dtype, [2, 48])],
        {},
        { threads },
      ),
    ]
    const one = await run(1)
    t.deepEqual(await run(2), one)
    t.deepEqual(await run(3), one)
  })
}

test('rms_norm gives what torch.nn.RMSNorm gives', async (t) => {
  // PyTorch 2.13, eps 1e-6; the second row is as small as eps allows to see it.
  const x = tensor('f32', [2, 4], [0.5, -1.25, 2, 0.75, -0.001, 0.002, 0.0005, -0.003])
  const dy = tensor('f32', [2, 4], [0.25, -0.5, 1, 2, 1, -2, 0.5, 0.75])
  const weight = tensor('f32', [4], [1.5, 0.5, -1, 2])
  const outputs = [tensor('f32', [2, 4]), tensor('f32', [2])]
  const [y, stats] = await runOp('rms_norm', [x, weight], outputs, { eps: 1e-6 })
  const first = [0.594088316, -0.495073617, -1.584235549, 1.188176632]
  t.true(near(y!, [...first, -0.702246904, 0.468164623, -0.234082311, -2.808987617], 1e-6), String(y))
  const operands = [dy, x, weight, tensor('f32', [2], stats)]
  const [dx, dweight] = await runOp('rms_norm_backward', operands, [tensor('f32', [2, 4]), buffer('f32', [4])])
  const slopes = [0.20385389, 0.034946218, -1.164878845, 3.02868557]
  t.true(near(dx!, [...slopes, 490.610839844, -44.892425537, -128.264251709, 67.338684082], 4e-6), String(dx))
  t.true(near(dweight!, [-0.369149894, -1.377584934, 1.70127666, 0.134806275], 2e-6), String(dweight))
})

test("rotary_embedding gives what diffusers' apply_rotary_emb gives for Flux", async (t) => {
  // get_1d_rotary_pos_embed(4, [1, 7], theta=10000, repeat_interleave_real=True), every second column of it.
  const cos = tensor('f32', [2, 2], [0.5403023, 0.99995, 0.7539023, 0.997551])
  const sin = tensor('f32', [2, 2], [0.841471, 0.009999833, 0.6569866, 0.06994285])
  const one = [0.5, -1.25, 2, 0.75, -0.3, 0.9, 1.1, -0.6]
  const x = tensor('f32', [1, 2, 8], [...one, 1.5, 0.2, -0.7, 0.4, 0.1, -2, 0.8, 0.05])
  const [y] = await runOp('rotary_embedding', [x, cos, sin], [tensor('f32', [1, 2, 8])], { inverse: 0 })
  const turned = [1.32199, -0.2546424, 1.9924, 0.7699622, -0.9194145, 0.2338307, 1.105945, -0.5889702]
  const other = [0.9994561, 1.13626, -0.7262628, 0.3500604, 1.389363, -1.442106, 0.7945437, 0.1058318]
  t.true(near(y!, [...turned, ...other], 1e-6), String(y))
  // Its gradient for dy = 1/8, 2/8, ..
  const dy = tensor('f32', [1, 2, 8], Array.from({ length: 16 }, (_, i) => (i + 1) / 8))
  const [dx] = await runOp('rotary_embedding', [dy, cos, sin], [tensor('f32', [1, 2, 8])], { inverse: 1 })
  const back = [0.2779055, 0.0298917, 0.3799812, 0.4962251, 0.9687921, -0.1206926, 0.8849561, 0.9912001]
  const rest = [1.669373, 0.2032679, 1.476547, 1.400155, 2.374818, 0.2517257, 2.010294, 1.863959]
  t.true(near(dx!, [...back, ...rest], 2e-6), String(dx))
})

test('rms_norm of zeros is zero; a value that is not finite spoils its row, and no other', async (t) => {
  const weight = randomTensor('f32', [8], 17)
  const norm = async (bad: number) => {
    const row = (i: number) => Math.floor(i / 8)
    const x = values(randomTensor('f32', [6, 8], 18)).map((v, i) => (row(i) !== 1 ? v : i === 9 ? bad : 0))
    const outputs = [tensor('f32', [6, 8]), tensor('f32', [6])]
    return (await runOp('rms_norm', [tensor('f32', [6, 8], x), weight], outputs, { eps }))[0]!
  }
  const sound = await norm(0)
  t.deepEqual(Array.from(sound.slice(8, 16), Math.abs), new Array(8).fill(0))
  for (const bad of [NaN, Infinity, -Infinity]) {
    const y = await norm(bad)
    t.false(Number.isFinite(y[9]))
    t.deepEqual([y.slice(0, 8), y.slice(16)], [sound.slice(0, 8), sound.slice(16)])
  }
})

test('operands that do not fit together are refused', async (t) => {
  const x = randomTensor('f32', [2, 3, 8], 19)
  const like = () => tensor('f32', [2, 3, 8])
  const narrow = randomTensor('f32', [7], 20)
  const norm = runOp('rms_norm', [x, narrow], [like(), tensor('f32', [6])], { eps })
  await t.throwsAsync(norm, { message: /rms_norm: weight is \[7\]; for x \[2, 3, 8\] it must be \[8\]/ })
  const [scale, wide] = [randomTensor('f32', [2, 8], 21), randomTensor('f32', [3, 8], 22)]
  const modulation = runOp('modulate', [x, scale, wide], [like()])
  await t.throwsAsync(modulation, { message: /modulate: shift is \[3, 8\]; for x \[2, 3, 8\] it must be \[2, 8\]/ })
  const sums = runOp('gate_backward', [x, undefined, scale], [undefined, tensor('f32', [2, 8])])
  await t.throwsAsync(sums, { message: /gate_backward: dgate needs z/ })
  const turn = (pairs: number, tokens: number) => {
    const table = randomTensor('f32', [tokens, pairs], 23)
    return runOp('rotary_embedding', [x, table, { ...table }], [like()], { inverse: 0 })
  }
  await t.throwsAsync(turn(3, 3), { message: /the columns of x \[2, 3, 8\] are not heads of 6/ })
  await t.throwsAsync(turn(4, 2), { message: /cos is \[2, 4\]; for x \[2, 3, 8\] it must be \[3, 4\]/ })
})
