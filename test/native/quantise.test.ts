/** Weights stored in 4 and 8 bits, against bitsandbytes and torch, and against their definition. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import test from 'ava'
import { openEngine, type FileSource, type StorageError, type WeightSpec, type WeightStorage } from '../../lib/native'
import { floats, numbers, readFixtureTensors, relativeL2 } from '../helpers/fixture-tensors'
import { nf4Levels, quantised } from '../helpers/quantised'
import { normals, rounded } from '../helpers/run-op'
import { testDevice } from '../helpers/test-device'

const folder = mkdtempSync(join(tmpdir(), 'quantise-'))
test.after.always(() => rmSync(folder, { recursive: true }))

const open = () => openEngine({ device: testDevice, computeDtype: 'f32', threads: 2 })
const storages = ['nf4', 'int8', 'fp8'] as const

let files = 0
/** A weight whose values come from a file in f32, or in bf16 when its bits are given. */
function spec(data: Float32Array | Uint16Array, shape: number[], more: Partial<WeightSpec>): WeightSpec {
  const path = join(folder, `${files++}.bin`)
  writeFileSync(path, new Uint8Array(data.buffer, data.byteOffset, data.byteLength))
  const dtype = data instanceof Float32Array ? 'f32' : 'bf16'
  const source: FileSource = { kind: 'file', path, offset: 0, bytes: data.byteLength, dtype, shape, layout: 'plain' }
  return { name: 'w', dtype: 'f32', shape, sources: [source], ...more }
}

async function stored(
  data: Float32Array | Uint16Array,
  shape: number[],
  more: Partial<WeightSpec>,
): Promise<{ values: Float32Array; errors: StorageError[] }> {
  const engine = open()
  try {
    const errors = await engine.addWeights([spec(data, shape, more)])
    return { values: engine.readWeight('w'), errors }
  } finally {
    engine.close()
  }
}

const fixture = (name: string) => readFixtureTensors('quant', `${name}.safetensors`)
const bf16Values = (bits: Uint16Array) => Float32Array.from(bits, (h) => new Float32Array(Uint32Array.of(h << 16).buffer)[0]!)

test('nf4 is that of bitsandbytes, up to values at the middle between two levels', async (t) => {
  const tensors = fixture('nf4')
  const middles = nf4Levels.slice(1).map((level, i) => (level + nf4Levels[i]!) / 2)
  for (const name of ['m0', 'm1', 'm2']) {
    const { shape } = tensors.get(`${name}.x`)!
    const x = floats(tensors, `${name}.x`)
    const { values } = await stored(x, shape, { storage: 'nf4' })
    const expected = floats(tensors, `${name}.nf4.dequant`)
    const absmax = floats(tensors, `${name}.nf4.absmax`)
    t.true(relativeL2(values, expected) <= 1e-6, name)
    for (const [i, value] of values.entries()) {
      if (value === expected[i]) continue
      const scaled = x[i]! / absmax[Math.floor(i / 64)]!
      t.true(middles.some((middle) => Math.abs(scaled - middle) <= 1e-6), `${name}: ${value} for ${x[i]}`)
    }
  }
})

test('nf4 of bf16 values is rounded once to bf16', async (t) => {
  const tensors = fixture('nf4')
  for (const name of ['m0', 'm1', 'm2']) {
    const x = tensors.get(`${name}.bf16.x`)!
    const { values } = await stored(x.data as Uint16Array, x.shape, { storage: 'nf4', dtype: 'bf16' })
    t.deepEqual(values, bf16Values(tensors.get(`${name}.bf16.dequant`)!.data as Uint16Array), name)
  }
})

test('int8 has the codes of bitsandbytes', async (t) => {
  const tensors = fixture('int8')
  for (const name of ['a', 'b']) {
    const { shape } = tensors.get(name)!
    const { values } = await stored(floats(tensors, name), shape, { storage: 'int8' })
    const absmax = floats(tensors, `${name}.row_absmax`)
    const codes = Array.from(values, (value, i) => Math.round((value * 127) / absmax[Math.floor(i / shape[1]!)]!))
    t.deepEqual(codes, numbers(tensors, `${name}.q`).map((q) => q + 0))
    t.true(relativeL2(values, floats(tensors, `${name}.dequant`)) <= 1e-6)
  }
})

test('int8 rounds what lies between two codes to the even one', async (t) => {
  for (const largest of [1, 0.7412109375, 3.060546875]) {
    const halves = Array.from({ length: 100 }, (_, i) => (i - 50) / 64) // some are whole codes and a half, when scaled
    const data = Float32Array.from([largest, ...halves.map((x) => x * largest)])
    const { values } = await stored(data, [1, data.length], { storage: 'int8' })
    t.deepEqual(values.map((x) => x + 0), quantised(data, 'int8', 1).map((x) => x + 0))
  }
})

test("fp8 is torch's cast, and a row's scale brings its largest number to 448", async (t) => {
  const tensors = fixture('fp8')
  // Beside 448 the scale is 1.
  const [x, back, table] = ['x', 'e4m3.back', 'e4m3.table'].map((name) => floats(tensors, name)) as [Float32Array, Float32Array, Float32Array]
  const within = [...x.keys()].filter((i) => Math.abs(x[i]!) <= 448)
  t.true(within.length > 400)
  const all = [...within.map((i) => [x[i]!, back[i]!]), ...[...table].filter(Number.isFinite).map((value) => [value, value])]
  const pairs = Float32Array.from(all.flatMap(([given]) => [448, given!]))
  const { values } = await stored(pairs, [all.length, 2], { storage: 'fp8' })
  for (const [i, [given, expected]] of all.entries()) t.is(values[2 * i + 1], expected, `${given}`)

  const w = floats(tensors, 'e4m3.w')
  const asRow = await stored(w, [1, w.length], { storage: 'fp8' })
  t.deepEqual(asRow.values, floats(tensors, 'e4m3.w_back'))
})

test('matrices of any shape are stored by rows or blocks, whatever their size', async (t) => {
  const sizes = [1, 0.02, 0, 2 ** -130, 2 ** 100]
  for (const storage of storages) {
    for (const shape of [[20, 64], [7, 1, 1, 33], [130], [5, 1]]) {
      const row = shape.slice(1).reduce((a, b) => a * b, 1)
      const data = Float32Array.from(normals(shape[0]! * row, 5), (x, i) => x * sizes[Math.floor(i / row) % 5]!)
      const expected = quantised(data, storage, shape[0]!)
      const { values, errors } = await stored(data, shape, { storage })
      t.deepEqual(values.map((x) => x + 0), expected.map((x) => x + 0), `${storage} [${shape}]`)
      const [squares, given] = [values.map((x, i) => x - data[i]!), data].map((list) => list.reduce((sum, x) => sum + x * x, 0))
      t.is(errors[0]?.storage, storage)
      const relative = Math.sqrt(squares! / given!)
      t.true(Math.abs(errors[0]!.relative - relative) <= 1e-6 * relative, `${errors[0]!.relative}, expected ${relative}`)
      const narrow = await stored(data, shape, { storage, dtype: 'bf16' })
      t.deepEqual(narrow.values.map((x) => x + 0), expected.map((x) => rounded(x) + 0))
    }
  }
})

test('all zeros stay zeros, without an error', async (t) => {
  for (const storage of storages) {
    const { values, errors } = await stored(new Float32Array(256), [4, 64], { storage })
    t.true(values.every((value) => value === 0))
    t.deepEqual(errors, [{ name: 'w', storage, relative: 0 }])
  }
})

test('a value that is not finite is refused, and named', async (t) => {
  for (const odd of [NaN, Infinity, -Infinity]) {
    const data = new Float32Array(256).fill(1)
    data[100] = odd
    await t.throwsAsync(stored(data, [4, 64], { storage: 'fp8' }), { message: /^weight 'w': value 100 is .*cannot be stored as fp8/ })
  }
})

test('a storage that is not known is refused', async (t) => {
  const storage = 'int4' as WeightStorage
  await t.throwsAsync(stored(new Float32Array(64), [64], { storage }), { message: /storage: .*int4.*plain, nf4, int8 or fp8/ })
})
