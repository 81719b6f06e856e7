import { mkdtempSync, rmSync, truncateSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import test, { type ExecutionContext } from 'ava'
import { philoxNormal, philoxUniform } from '../../lib/base/philox'
import { devices, openEngine, type FileSource, type WeightSource, type WeightSpec } from '../../lib/native'
import { normals, randomTensor, rounded, tensor } from '../helpers/run-op'
import { addTensors, portValues, programOf } from '../helpers/run-weights'
import { testOnCpu } from '../helpers/device-tests'
import { testDevice } from '../helpers/test-device'

const folder = mkdtempSync(join(tmpdir(), 'weights-'))
test.after.always(() => rmSync(folder, { recursive: true }))

const open = () => openEngine({ device: testDevice, computeDtype: 'f32', threads: 2 })

/** Equal in every element; the payload of a NaN does not count, that of ava's deepEqual would. */
function same(t: ExecutionContext, got: Float32Array, expected: Float32Array): void {
  const at = got.findIndex((value, i) => !Object.is(value, expected[i]))
  t.true(got.length === expected.length && at < 0, `element ${at}: ${got[at]}, expected ${expected[at]}`)
}

let files = 0
function file(bytes: Uint8Array): string {
  const path = join(folder, `${files++}.bin`)
  writeFileSync(path, bytes)
  return path
}

const bytesOf = (array: Float32Array | Float64Array | Uint16Array) =>
  new Uint8Array(array.buffer, array.byteOffset, array.byteLength)

function source(
  path: string,
  dtype: FileSource['dtype'],
  shape: number[],
  offset = 0,
  layout: FileSource['layout'] = 'plain',
): FileSource {
  const size = { f32: 4, f16: 2, bf16: 2, f64: 8 }[dtype]
  return { kind: 'file', path, offset, bytes: shape.reduce((a, b) => a * b, size), dtype, shape, layout }
}

const spec = (name: string, dtype: 'f32' | 'bf16', shape: number[], ...sources: WeightSource[]): WeightSpec => ({
  name,
  dtype,
  shape,
  sources,
})

/** Value of half-precision bits, by the definition of IEEE 754. */
function half(bits: number): number {
  const sign = bits & 0x8000 ? -1 : 1
  const exponent = (bits >> 10) & 31
  const fraction = bits & 1023
  if (exponent === 31) return fraction ? NaN : sign * Infinity
  return exponent ? sign * 2 ** (exponent - 15) * (1 + fraction / 1024) : sign * 2 ** -24 * fraction
}

test('every f16 number is read exactly', async (t) => {
  const all = Uint16Array.from({ length: 65536 }, (_, i) => i)
  const engine = open()
  await engine.addWeights([spec('h', 'f32', [256, 256], source(file(bytesOf(all)), 'f16', [256, 256]))])
  same(t, engine.readWeight('h'), Float32Array.from(all, half))
  engine.close()
})

test('f32, f64 and bf16 are read, and rounded once to nearest even', async (t) => {
  const numbers = [
    ...normals(1000, 1),
    1 + 2 ** -9,
    1 + 3 * 2 ** -9,
    -1 - 2 ** -8 - 2 ** -20,
    Infinity,
    -Infinity,
    NaN,
    1e-40,
    3.4e38,
  ]
  const shape = [numbers.length]
  const floats = Float32Array.from(numbers)
  const halves = new Uint16Array(new Uint32Array(floats.buffer).map((bits) => bits >>> 16))
  const engine = open()
  await engine.addWeights([
    spec('wide', 'f32', shape, source(file(bytesOf(floats)), 'f32', shape)),
    spec('wider', 'f32', shape, source(file(bytesOf(Float64Array.from(numbers))), 'f64', shape)),
    spec('narrow', 'f32', shape, source(file(bytesOf(halves)), 'bf16', shape)),
    spec('rounded', 'bf16', shape, source(file(bytesOf(floats)), 'f32', shape)),
  ])
  same(t, engine.readWeight('wide'), floats)
  same(t, engine.readWeight('wider'), floats)
  same(
    t,
    engine.readWeight('narrow'),
    Float32Array.from(halves, (h) => new Float32Array(Uint32Array.of(h << 16).buffer)[0]!),
  )
  same(t, engine.readWeight('rounded'), floats.map(rounded))
  t.is(engine.memory().weights, numbers.length * 14)
  engine.close()
})

test('a convolution in oihw order becomes ohwi', async (t) => {
  const [o, i, h, w] = [3, 5, 3, 2] as const
  const values = normals(o * i * h * w, 2)
  for (const dtype of ['f32', 'f64'] as const) {
    const array = dtype === 'f32' ? Float32Array.from(values) : Float64Array.from(values)
    const engine = open()
    await engine.addWeights([
      spec('conv', 'f32', [o, h, w, i], source(file(bytesOf(array)), dtype, [o, i, h, w], 0, 'oihw')),
    ])
    const expected = new Float32Array(values.length)
    for (let a = 0; a < o; a++)
      for (let b = 0; b < i; b++)
        for (let tap = 0; tap < h * w; tap++) expected[(a * h * w + tap) * i + b] = values[(a * i + b) * h * w + tap]!
    t.deepEqual(engine.readWeight('conv'), expected)
    engine.close()
  }
})

test('sources follow each other, from any place in a file', async (t) => {
  const values = Float32Array.from(normals(20, 3))
  const path = file(Buffer.concat([Buffer.from('abc'), bytesOf(values)]))
  const engine = open()
  const constant: WeightSource = { kind: 'constant', value: 0.5, shape: [1, 3] }
  const parts = [source(path, 'f32', [2, 3], 3 + 4 * 8), constant, source(path, 'f32', [1, 3], 3)]
  await engine.addWeights([spec('qkv', 'f32', [4, 3], ...parts)])
  t.deepEqual(engine.readWeight('qkv'), Float32Array.of(...values.slice(8, 14), 0.5, 0.5, 0.5, ...values.slice(0, 3)))
  engine.close()
})

test('fresh weights are the numbers of lib/base/philox.ts', async (t) => {
  const engine = open()
  const key = { seed: 2 ** 40 + 12345, stream: 77, step: 0 }
  const shape = [700, 401] // several pieces of work, and a length that is no multiple of four
  const generator = { seed: key.seed, stream: key.stream, shape }
  await engine.addWeights([
    spec('normal', 'f32', shape, { kind: 'normal', std: 1, ...generator }),
    spec('uniform', 'f32', shape, { kind: 'uniform', bound: 1, ...generator }),
    spec('scaled', 'bf16', shape, { kind: 'normal', std: 0.02, ...generator }),
  ])
  const normal = philoxNormal(key, new Float32Array(700 * 401))
  const got = engine.readWeight('normal')
  // The logarithm and the sine of two libraries may differ in the last place of a double.
  t.true(got.every((v, i) => Math.abs(v - normal[i]!) <= 2.4e-7 * Math.abs(normal[i]!) + 1e-12))
  same(
    t,
    engine.readWeight('uniform'),
    philoxUniform(key, new Float32Array(700 * 401)).map((u) => 2 * u - 1),
  )
  same(
    t,
    engine.readWeight('scaled'),
    got.map((v) => rounded(Math.fround(v * 0.02))),
  )
  engine.close()
})

test('progress counts up to the total, and an error thrown from it stops the reading', async (t) => {
  const engine = open()
  const fresh = (name: string) =>
    spec(name, 'f32', [1 << 20], { kind: 'normal', seed: 1, stream: 1, std: 1, shape: [1 << 20] })
  const calls: [number, number][] = []
  await engine.addWeights([fresh('a'), fresh('b')], (done, total) => calls.push([done, total]))
  t.deepEqual(calls.at(-1), [1 << 23, 1 << 23])
  t.true(calls.every(([done], i) => i === 0 || done > calls[i - 1]![0]))
  const many = Array.from({ length: 40 }, (_, i) => fresh(`c${i}`))
  const stop = () => {
    throw new RangeError('enough')
  }
  await t.throwsAsync(engine.addWeights(many, stop), { instanceOf: RangeError, message: 'enough' })
  engine.close()
})

test('what is wrong with a weight is said with its name or file', async (t) => {
  const engine = open()
  const path = file(new Uint8Array(64))
  const refused = (weight: WeightSpec, message: RegExp) =>
    t.throwsAsync(async () => engine.addWeights([weight]), { message })
  await refused(spec('w', 'f32', [4], source(join(folder, 'none'), 'f32', [4])), /none: cannot open: No such file/)
  await refused(spec('w', 'f32', [4], source(folder, 'f32', [4])), /not a regular file/)
  await refused(spec('w', 'f32', [4], source(path, 'f32', [4], 52)), /16 bytes at 52 lies outside the file of 64 bytes/)
  await refused(spec('w', 'f32', [4], source(path, 'f32', [4], -4)), /lies outside the file/)
  await refused(spec('w', 'f32', [4], { ...source(path, 'f32', [4]), bytes: 8 }), /8 bytes cannot hold shape \[4\]/)
  await refused(
    spec('w', 'f32', [5], source(path, 'f32', [4])),
    /weight 'w': its sources hold 4 elements, its shape \[5\] has 5/,
  )
  await refused(spec('w', 'f32', [4], source(path, 'f32', [4], 0, 'oihw')), /oihw needs four extents/)
  await refused(spec('w', 'f32', [4]), /weight 'w' has no source/)
  await refused(spec('w', 'f16' as 'f32', [4], source(path, 'f32', [4])), /dtype must be f32 or bf16/)
  await refused(spec('w', 'f32', [4], { ...source(path, 'f32', [4]), dtype: 'i8' as 'f32' }), /unknown dtype 'i8'/)
  await refused(
    spec('w', 'f32', [4], { kind: 'zero', shape: [4] } as unknown as WeightSource),
    /specs\[0\].*expected 'file', 'normal'|kind/,
  )
  t.throws(() => engine.readWeight('w'), { message: /weight 'w' does not exist/ })
  truncateSync(path, 8)
  await refused(spec('w', 'f32', [4], source(path, 'f32', [4])), /outside the file of 8 bytes/)
  engine.close()
})

const dtypes = (['f32', 'bf16'] as const).filter((dtype) => devices()[0]!.computeDtypes.includes(dtype))

for (const dtype of dtypes) {
  testOnCpu(`a weight is held once, in the kernels' layout while programs use it, in ${dtype}`, async (t) => {
    const engine = open()
    const size = dtype === 'f32' ? 4 : 2
    const w = randomTensor(dtype, [192, 128], 1)
    const x = randomTensor(dtype, [200, 128], 2)
    await addTensors(engine, { w })
    t.like(engine.memory(), { weights: 192 * 128 * size, packed: 0 })
    const forward = programOf('linear', [x, { weight: 'w', tensor: w }], [tensor(dtype, [200, 192])], { adapters: 0 })
    const handle = engine.compile(forward)
    t.like(engine.memory(), { weights: 0, packed: 192 * 128 * size })
    t.deepEqual(engine.readWeight('w'), Float32Array.from(w.data!))

    const dy = randomTensor(dtype, [200, 192], 3)
    const gradient = engine.compile(
      programOf('linear_input_grad', [dy, { weight: 'w', tensor: w }], [tensor(dtype, [200, 128])], { adapters: 0 }),
    )
    t.like(engine.memory(), { weights: 0, packed: 192 * 128 * size })

    const run = async () => (await engine.run([{ program: handle, inputs: portValues([x]) }]))[0]!.o0
    const before = await run()
    const other = engine.compile(
      programOf(
        'add',
        [
          { weight: 'w', tensor: w },
          { weight: 'w', tensor: w },
        ],
        [tensor(dtype, [192, 128])],
        {},
      ),
    )
    t.like(engine.memory(), { weights: 192 * 128 * size, packed: 192 * 128 * size })
    const [doubled] = await engine.run([{ program: other, inputs: {} }])
    t.deepEqual(
      doubled!.o0,
      Float32Array.from(w.data!, (v) => 2 * v),
    )
    t.deepEqual(await run(), before)

    // Replaced behind the programs' backs: the layouts follow.
    await addTensors(engine, {
      w: tensor(
        dtype,
        [192, 128],
        Array.from(w.data!, (v) => 2 * v),
      ),
    })
    t.deepEqual(
      await run(),
      (before as Float32Array).map((v) => 2 * v),
    )
    const reshaped = addTensors(engine, { w: randomTensor(dtype, [128, 128], 1) })
    await t.throwsAsync(reshaped, { message: /weight 'w' is used by a compiled program as .* \[192, 128\]/ })

    for (const program of [handle, gradient, other]) engine.release(program)
    t.deepEqual(
      engine.readWeight('w'),
      Float32Array.from(w.data!, (v) => 2 * v),
    )
    await addTensors(engine, { w: randomTensor(dtype, [128, 128], 1) })
    t.like(engine.memory(), { weights: 128 * 128 * size, packed: 0 })
    engine.close()
  })
}
