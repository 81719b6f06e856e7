import test from 'ava'
import { buffer, elements, expectClose, randomTensor, rounded, runOp, tensor, type TestTensor } from '../helpers/run-op'

const dtypes = ['f32', 'bf16'] as const
const values = (t: TestTensor) => Array.from(t.data!)
const indices = (n: number) => Array.from({ length: n }, (_, i) => i)

for (const dtype of dtypes) {
  test(`concat, slice and its backward move columns exactly in ${dtype}`, async (t) => {
    for (const [left, right] of [[1, 7], [33, 1], [7, 33], [8, 16]] as const) {
      const a = randomTensor(dtype, [2, 5, left], 1)
      const b = randomTensor(dtype, [2, 5, right], 2)
      const [y] = await runOp('concat', [a, b], [tensor(dtype, [2, 5, left + right])])
      const rows = indices(10).map((row) => [
        ...values(a).slice(row * left, (row + 1) * left),
        ...values(b).slice(row * right, (row + 1) * right),
      ])
      t.deepEqual(Array.from(y!), rows.flat())

      const whole = tensor(dtype, [2, 5, left + right], y)
      const [back] = await runOp('slice', [whole], [tensor(dtype, [2, 5, right])], { start: left, count: right })
      t.deepEqual(Array.from(back!), values(b))
      const [spread] = await runOp('slice_backward', [b], [tensor(dtype, [2, 5, left + right])], { start: left })
      t.deepEqual(Array.from(spread!), rows.flatMap((row) => row.map((v, column) => (column < left ? 0 : v))))
    }
  })

  test(`sum_rows sums each group of rows in ${dtype}`, async (t) => {
    for (const [rows, columns, groups] of [[1, 1, 1], [7, 33, 7], [6, 1, 3], [4096, 33, 2], [700, 320, 1]] as const) {
      const x = randomTensor(dtype, [rows, columns], 3)
      const data = values(x)
      const expected = new Array<number>(groups * columns).fill(0)
      data.forEach((v, i) => {
        expected[Math.floor(i / columns / (rows / groups)) * columns + (i % columns)]! += v
      })
      const [y] = await runOp('sum_rows', [x], [tensor(dtype, [groups, columns])], { groups })
      expectClose(t, y!, expected, dtype)
      const [wide] = await runOp('sum_rows', [x], [tensor('f32', [groups, columns])], { groups })
      expectClose(t, wide!, expected, 'f32')
      if (groups > 1) continue
      const before = randomTensor('f32', [columns], 4, 10)
      const sum = buffer('f32', [columns], before.data)
      const [total] = await runOp('sum_rows', [x], [sum], { groups })
      expectClose(t, total!, expected.map((v, c) => v + before.data![c]!), 'f32')
    }
  })

  test(`upsample_nearest copies the pixel at floor(i H / Ho), its backward sums the copies, in ${dtype}`, async (t) => {
    const sizes = [[2, 3, 4, 6, 33], [3, 4, 5, 7, 7], [1, 1, 3, 2, 1], [8, 8, 16, 16, 130], [3, 2, 5, 4, 16]] as const
    for (const [h, w, ho, wo, c] of sizes) {
      const x = randomTensor(dtype, [2, h, w, c], 5)
      const dy = randomTensor(dtype, [2, ho, wo, c], 6)
      const source = (i: number) => {
        const channel = i % c
        const column = Math.floor(i / c) % wo
        const row = Math.floor(i / c / wo) % ho
        const n = Math.floor(i / c / wo / ho)
        return ((n * h + Math.floor((row * h) / ho)) * w + Math.floor((column * w) / wo)) * c + channel
      }
      const count = elements(dy.shape)
      const data = values(x)
      const [y] = await runOp('upsample_nearest', [x], [tensor(dtype, dy.shape)], { size: [ho, wo] })
      t.deepEqual(Array.from(y!), indices(count).map((i) => data[source(i)]!))

      const upstream = values(dy)
      const expected = data.map(() => 0)
      for (const i of indices(count)) expected[source(i)]! += upstream[i]!
      const [dx] = await runOp('upsample_nearest_backward', [dy], [tensor(dtype, x.shape)])
      expectClose(t, dx!, expected, dtype)
    }
  })

  test(`embedding adds token and position, its backward adds to the rows it read, in ${dtype}`, async (t) => {
    for (const columns of [1, 7, 16, 33, 300]) {
      const token = randomTensor(dtype, [9, columns], 7)
      const position = randomTensor(dtype, [6, columns], 8)
      const ids = [3, 3, 0, 8, 1, 8, 8, 3, 3, 0]
      const at = (row: number, c: number) => [ids[row]! * columns + c, (row % 5) * columns + c] as const
      const idsTensor = tensor('i32', [2, 5], ids)
      const [y] = await runOp('embedding', [idsTensor, token, position], [tensor(dtype, [2, 5, columns])])
      const expected = indices(10 * columns).map((i) => {
        const [tokenAt, positionAt] = at(Math.floor(i / columns), i % columns)
        return token.data![tokenAt]! + position.data![positionAt]!
      })
      expectClose(t, y!, expected, dtype)

      const dy = randomTensor(dtype, [2, 5, columns], 9)
      const dtoken = new Array<number>(9 * columns).fill(0.5)
      const dposition = new Array<number>(6 * columns).fill(-0.25)
      const targets = [buffer('f32', [9, columns], dtoken), buffer('f32', [6, columns], dposition)]
      for (const i of indices(10 * columns)) {
        const [tokenAt, positionAt] = at(Math.floor(i / columns), i % columns)
        dtoken[tokenAt]! += dy.data![i]!
        dposition[positionAt]! += dy.data![i]!
      }
      const [gotToken, gotPosition] = await runOp('embedding_backward', [dy, idsTensor], targets)
      expectClose(t, gotToken!, dtoken, 'f32')
      expectClose(t, gotPosition!, dposition, 'f32')
      const [none, alone] = await runOp('embedding_backward', [dy, idsTensor], [undefined, targets[1]])
      t.is(none!.length, 0)
      t.deepEqual(alone, gotPosition)
    }
  })

  test(`timestep_embedding is the sinusoidal embedding of PyTorch in ${dtype}`, async (t) => {
    const timesteps = [0, 1, 250, 999, 0.5]
    for (const half of [1, 7, 160]) {
      for (const [cosFirst, shift] of [[1, 0], [0, 0.5], [0, 0]] as const) {
        const attributes = { channels: 2 * half, max_period: 10000, cos_first: cosFirst, shift }
        const inputs = [tensor('f32', [5], timesteps)]
        const [y] = await runOp('timestep_embedding', inputs, [tensor(dtype, [5, 2 * half])], attributes)
        // f32 where PyTorch has f32; sine and cosine in double precision.
        const f = Math.fround
        const angle = (n: number, i: number) =>
          f(timesteps[n]! * f(Math.exp(f(f(f(-Math.log(10000)) * i) / f(half - shift)))))
        const expected = timesteps.flatMap((_, n) => {
          const sines = indices(half).map((i) => Math.sin(angle(n, i)))
          const cosines = indices(half).map((i) => Math.cos(angle(n, i)))
          return cosFirst ? [...cosines, ...sines] : [...sines, ...cosines]
        })
        if (dtype === 'bf16') t.deepEqual(Array.from(y!), expected.map((v) => rounded(f(v))))
        else expectClose(t, y!, expected, dtype)
      }
    }
  })
}

test('sums are the same bits for any number of threads', async (t) => {
  const x = randomTensor('f32', [5000, 70], 10)
  const [one, two, three] = await Promise.all(
    [1, 2, 3].map((threads) => runOp('sum_rows', [x], [tensor('f32', [1, 70])], { groups: 1 }, { threads })),
  )
  t.deepEqual(one, two)
  t.deepEqual(one, three)
})

test('an id outside the vocabulary is an error that names it and its place', async (t) => {
  const token = randomTensor('f32', [4, 3], 11)
  const position = randomTensor('f32', [3, 3], 12)
  for (const bad of [4, -1]) {
    const ids = tensor('i32', [2, 3], [0, 1, 2, 3, 0, bad])
    const message = new RegExp(`embedding: id ${bad} at \\[1, 2\\] lies outside 0 .. 3`)
    await t.throwsAsync(runOp('embedding', [ids, token, position], [tensor('f32', [2, 3, 3])]), { message })
    const target = buffer('f32', [4, 3])
    const backward = runOp('embedding_backward', [randomTensor('f32', [2, 3, 3], 13), ids], [target])
    await t.throwsAsync(backward, { message: /embedding_backward: id/ })
  }
})

test('shapes and attributes that do not fit are refused with both shapes', async (t) => {
  const refused = (run: Promise<unknown>, message: RegExp) => t.throwsAsync(run, { message })
  const x = randomTensor('f32', [4, 6], 14)
  await refused(runOp('sum_rows', [x], [tensor('f32', [3, 6])], { groups: 3 }), /sum_rows: .*\[4, 6\].*3 equal groups/)
  await refused(runOp('sum_rows', [x], [tensor('f32', [6])], { groups: 1 }), /sum_rows: y is \[6\].*\[4, 6\].*\[1, 6\]/)
  await refused(runOp('slice', [x], [tensor('f32', [4, 3])], { start: 4, count: 3 }), /slice: columns 4 .. 7.*\[4, 6\]/)
  await refused(runOp('slice', [x], [tensor('f32', [4, 3])], { start: -1, count: 3 }), /slice: columns -1/)
  const wide = tensor('f32', [4, 12])
  await refused(runOp('concat', [x, randomTensor('f32', [3, 6], 1)], [wide]), /concat: b is \[3, 6\].*\[4, 6\]/)
  await refused(runOp('upsample_nearest', [x], [wide]), /upsample_nearest: x \[4, 6\] and y \[4, 12\]/)
  const long = [tensor('i32', [1, 4], [0, 0, 0, 0]), randomTensor('f32', [2, 3], 1), randomTensor('f32', [3, 3], 2)]
  const y = tensor('f32', [1, 4, 3])
  await refused(runOp('embedding', long, [y]), /embedding: ids \[1, 4\] are longer than position \[3, 3\]/)
  const backward = [randomTensor('f32', [1, 1, 6], 3), tensor('i32', [1, 1], [0])]
  const inArena = tensor('f32', [9, 6])
  await refused(runOp('embedding_backward', backward, [inArena]), /embedding_backward: dtoken \[9, 6\].*buffer/)
})
