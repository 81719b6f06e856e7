import { mkdtempSync, rmSync, truncateSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Worker } from 'node:worker_threads'
import test from 'ava'
import { formatVersion, type Program, type ProgramTensor } from '../../lib/graph/program'
import { addon, devices, kernels, openEngine, type Engine, type FileSource, type RunStep } from '../../lib/native'
import { rounded } from '../helpers/run-op'
import { testDevice } from '../helpers/test-device'

const open = (): Engine => openEngine({ device: testDevice, computeDtype: 'f32', threads: 2 })

const arena = (name: string, offset: number, shape = [4]): ProgramTensor => ({
  dtype: 'f32',
  shape,
  space: 'arena',
  offset,
  name,
})

/** y = a + b over four numbers. */
function adding(changes: Partial<Program> = {}): Program {
  return {
    version: formatVersion,
    label: 'adding',
    arenaBytes: 192,
    tensors: [arena('a', 0), arena('b', 64), arena('y', 128)],
    instructions: [{ op: 'add', inputs: [0, 1], outputs: [2], attributes: {} }],
    inputs: [
      { name: 'a', tensor: 0 },
      { name: 'b', tensor: 1 },
    ],
    outputs: [{ name: 'y', tensor: 2 }],
    ...changes,
  }
}

const four = (...values: number[]) => Float32Array.from(values)
const inputs = () => ({ a: four(1, 2, 3, 4), b: four(10, 20, 30, 40) })

test('the addon exports its version, kernels, devices and openEngine, and nothing else', (t) => {
  t.deepEqual(Object.keys(addon()).sort(), ['devices', 'formatVersion', 'kernels', 'missingDevices', 'openEngine'])
  t.is(addon().formatVersion, formatVersion)
  const [cpu] = devices()
  t.is(cpu!.name, 'cpu')
  t.true(cpu!.computeDtypes.includes('f32'))
  t.true(cpu!.threads >= 1)
  const names = kernels('cpu')
  t.deepEqual([...names].sort(), names)
  t.true(names.includes('linear') && names.includes('conv2d'))
  for (const { name } of devices()) t.deepEqual(kernels(name), names, `${name} runs what the CPU runs`)
  t.throws(() => kernels('abacus'), { message: /no device 'abacus': it has cpu/ })
})

test('a program runs, and the caller may change its arrays at once', async (t) => {
  const engine = open()
  const program = engine.compile(adding())
  const values = inputs()
  const promise = engine.run([{ program, inputs: values }])
  values.a.fill(NaN)
  t.deepEqual(await promise, [{ y: four(11, 22, 33, 44) }])
  engine.close()
})

test('runs queue up in the order in which they were started', async (t) => {
  const engine = open()
  const program = engine.compile(adding())
  const step = (i: number): RunStep => ({ program, inputs: { a: four(i, i, i, i), b: four(0, 1, 2, 3) } })
  const results = await Promise.all(Array.from({ length: 50 }, (_, i) => engine.run([step(i), step(i + 100)])))
  results.forEach(([first, second], i) => {
    t.deepEqual(first!.y, four(i, i + 1, i + 2, i + 3))
    t.deepEqual(second!.y, four(i + 100, i + 101, i + 102, i + 103))
  })
  engine.close()
})

test('the arena is as large as the largest program, to the byte', (t) => {
  const engine = open()
  t.is(engine.memory().arena, 0)
  engine.compile(adding())
  t.is(engine.memory().arena, 192)
  const large = engine.compile(adding({ arenaBytes: 1_000_001 }))
  engine.compile(adding({ arenaBytes: 999 }))
  t.is(engine.memory().arena, 1_000_001)
  engine.release(large)
  t.is(engine.memory().arena, 999)
  engine.close()
})

test('bad programs are refused with the place of the mistake', (t) => {
  const engine = open()
  const cases: [Partial<Record<keyof Program, unknown>>, RegExp][] = [
    [{ version: 2 }, /format version 2, this addon runs version 1/],
    [{ arenaBytes: -1 }, /arenaBytes is negative/],
    [{ arenaBytes: 143 }, /tensor 2 'y' \(f32 \[4\], 16 bytes at 128\) lies outside the arena of 143 bytes/],
    [{ tensors: 7 }, /program\.tensors: expected an array, got a number/],
    [{ tensors: [arena('a', 0), arena('b', 64)] }, /instruction 0 \(add\) refers to tensor 2 of 2/],
    [{ tensors: [arena('a', 0), arena('b', 64), arena('y', 128, [-4])] }, /negative extent/],
    [{ tensors: [arena('a', 0), arena('b', 64), arena('y', 128, [2 ** 40, 2 ** 40])] }, /too large/],
    [{ tensors: [arena('a', 0), arena('b', 64), arena('y', 130)] }, /not a multiple of its element size/],
    [
      { tensors: [arena('a', 0), arena('b', 64), { ...arena('y', 128), dtype: 'f8' }] },
      /tensors\[2\]\.dtype: unknown dtype 'f8'/,
    ],
    [
      { tensors: [arena('a', 0), arena('b', 64), { ...arena('y', 128), shape: [1.5] }] },
      /shape\[0\]: expected a whole number/,
    ],
    [
      { tensors: [{ ...arena('a', 0), space: 'weight', name: 'w' }, arena('b', 64), arena('y', 128)], inputs: [] },
      /weight 'w' does not exist/,
    ],
    [
      { tensors: [arena('a', 0), arena('b', 64), { ...arena('y', 0), space: 'buffer' }] },
      /buffer 'y', which does not exist/,
    ],
    [
      { instructions: [{ op: 'divide', inputs: [], outputs: [] }] },
      /instruction 0 \(divide\): device .* has no op 'divide'/,
    ],
    [{ instructions: [{ op: 'add', inputs: [0], outputs: [2] }] }, /instruction 0 \(add\) 'y':/],
    [
      { instructions: [{ op: 'add', inputs: [0, 1], outputs: [2], attributes: { x: {} } }] },
      /attributes\.x: expected a number, text or a list/,
    ],
    [
      {
        inputs: [
          { name: 'a', tensor: 0 },
          { name: 'a', tensor: 1 },
        ],
      },
      /input 'a' appears twice/,
    ],
    [{ outputs: [{ name: 'y', tensor: 3 }] }, /output 'y' refers to tensor 3 of 3/],
    [{ label: undefined }, /program\.label: expected text, got undefined/],
  ]
  for (const [changes, message] of cases)
    t.throws(() => engine.compile(adding(changes as Partial<Program>)), { message })
  t.throws(() => engine.compile(undefined as unknown as Program), {
    message: /program: expected an object, got undefined/,
  })
  t.is(engine.memory().arena, 0)
  engine.close()
})

test('a frozen weight cannot be written, nor be a port', async (t) => {
  const engine = open()
  await engine.addWeights([
    { name: 'w', dtype: 'f32', shape: [4], sources: [{ kind: 'constant', value: 1, shape: [4] }] },
  ])
  const w: ProgramTensor = { ...arena('w', 0), space: 'weight' }
  t.throws(() => engine.compile(adding({ tensors: [arena('a', 0), arena('b', 64), w] })), {
    message: /would write the weight 'w'/,
  })
  t.throws(() => engine.compile(adding({ tensors: [w, arena('b', 64), arena('y', 128)] })), {
    message: /input 'a' is the weight 'w'/,
  })
  const bf16: ProgramTensor = { ...w, shape: [2] }
  const program = adding({ tensors: [bf16, arena('b', 64), arena('y', 128)], inputs: [{ name: 'b', tensor: 1 }] })
  t.throws(() => engine.compile(program), { message: /weight 'w' has shape \[4\], the program expects \[2\]/ })
  engine.close()
})

test('inputs are checked by name, kind and length', async (t) => {
  const engine = open()
  const program = engine.compile(adding())
  const refused = async (values: unknown, message: RegExp) => {
    await t.throwsAsync(async () => engine.run([{ program, inputs: values as RunStep['inputs'] }]), { message })
  }
  await refused({ a: four(1, 2, 3, 4) }, /program 'adding': input 'b' is missing/)
  await refused({ ...inputs(), c: four(1) }, /has no input 'c'/)
  await refused({ ...inputs(), a: four(1) }, /input 'a' has 1 elements, expected shape \[4\]/)
  await refused({ ...inputs(), a: new Int32Array(4) }, /input 'a' is f32: expected a Float32Array/)
  await refused(
    { ...inputs(), a: new Float64Array(4) },
    /inputs\.a: expected a Float32Array or an Int32Array, got a typed array/,
  )
  await refused({ ...inputs(), a: [1, 2, 3, 4] }, /inputs\.a: expected a Float32Array/)
  await refused(7, /steps\[0\]\.inputs: expected an object, got a number/)
  t.deepEqual((await engine.run([{ program, inputs: inputs() }]))[0]!.y, four(11, 22, 33, 44))
  engine.close()
})

test('wrong handles and closed engines are errors', async (t) => {
  const engine = open()
  const program = engine.compile(adding())
  await t.throwsAsync(engine.run([{ program: program + 1, inputs: {} }]), { message: /handle 2 is not compiled here/ })
  t.throws(() => engine.release(99), { message: /handle 99/ })
  engine.release(program)
  await t.throwsAsync(engine.run([{ program, inputs: inputs() }]), {
    message: /handle 1 is not compiled here, or was released/,
  })
  const again = engine.compile(adding())
  const pending = Array.from({ length: 20 }, () => engine.run([{ program: again, inputs: inputs() }]))
  engine.close()
  for (const result of await Promise.allSettled(pending)) {
    if (result.status === 'rejected') t.regex(String(result.reason), /cancelled|closed/)
    else t.deepEqual(result.value[0]!.y, four(11, 22, 33, 44))
  }
  engine.close()
  t.throws(() => engine.memory(), { message: /the engine is closed/ })
  t.throws(() => engine.run([]), { message: /the engine is closed/ })
  t.throws(() => engine.compile(adding()), { message: /the engine is closed/ })
})

test('an engine needs a device and a compute dtype that exist', (t) => {
  t.throws(() => openEngine({ device: 'tpu', computeDtype: 'f32' }), { message: /no device 'tpu'/ })
  t.throws(() => openEngine({ device: testDevice, computeDtype: 'i32' as 'f32' }), { message: /f32 or bf16/ })
  t.throws(() => openEngine({ device: testDevice, computeDtype: 'f32', threads: 0 }), {
    message: /options\.threads: expected a number from 1/,
  })
  t.throws(() => openEngine(undefined as unknown as { device: string; computeDtype: 'f32' }), {
    message: /options: expected an object/,
  })
})

test('buffers are zero at first, keep their bytes, and are read and written by bytes', (t) => {
  const engine = open()
  engine.createBuffer('params', 32)
  t.deepEqual(engine.readBuffer('params', 0, 8), new Float32Array(8))
  engine.writeBuffer('params', 8, four(1, 2, 3))
  engine.createBuffer('params', 32)
  t.deepEqual(engine.readBuffer('params', 4, 5), four(0, 1, 2, 3, 0))
  t.throws(() => engine.createBuffer('params', 36), { message: /buffer 'params' exists with 32 bytes, not 36/ })
  t.throws(() => engine.readBuffer('params', 0, 9), { message: /do not lie inside its 32 bytes/ })
  t.throws(() => engine.readBuffer('params', 2, 1), { message: /do not lie inside/ })
  t.throws(() => engine.readBuffer('params', -4, 1), { message: /do not lie inside/ })
  t.throws(() => engine.writeBuffer('params', 28, four(1, 2)), { message: /do not lie inside/ })
  t.throws(() => engine.readBuffer('state', 0, 1), { message: /buffer 'state' does not exist/ })
  t.throws(() => engine.createBuffer('x', -1), { message: /-1 bytes/ })
  t.is(engine.memory().buffers, 32)
  engine.createBuffer('shadow', 8, 'bf16')
  engine.writeBuffer('shadow', 0, four(1.001, -2.003, 3, 0.1))
  t.deepEqual(engine.readBuffer('shadow', 0, 4), four(...[1.001, -2.003, 3, 0.1].map(rounded)))
  engine.close()
})

test('a buffer gives and takes its bytes as they are, whatever they mean', (t) => {
  const engine = open()
  engine.createBuffer('codes', 12)
  const bytes = Uint8Array.of(1, 0, 0xa0, 0x7f, 0xff, 0xff, 0xff, 0xff, 0, 0, 0xc0, 0xff) // a signalling NaN, and others
  engine.writeBytes('codes', bytes)
  t.deepEqual(engine.readBytes('codes'), bytes)
  engine.writeBytes('codes', new Uint8Array([0, ...bytes]).subarray(1))
  t.deepEqual(engine.readBytes('codes'), bytes)
  t.throws(() => engine.writeBytes('codes', bytes.subarray(1)), { message: /buffer 'codes' has 12 bytes, not 11/ })
  t.throws(() => engine.writeBytes('codes', new Float32Array(3) as never), { message: /a Uint8Array/ })
  t.throws(() => engine.readBytes('state'), { message: /buffer 'state' does not exist/ })
  engine.close()
})

test('pieces of a buffer are loaded from files and generators', async (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'engine-'))
  const path = join(folder, 'values.bin')
  writeFileSync(path, Buffer.from(four(9, 8, 7, 6, 5).buffer))
  const engine = open()
  engine.createBuffer('params', 40)
  const source: FileSource = { kind: 'file', path, offset: 4, bytes: 16, dtype: 'f32', shape: [2, 2], layout: 'plain' }
  await engine.loadBuffer('params', [
    { offset: 8, shape: [4], source },
    { offset: 24, shape: [2], source: { kind: 'constant', value: -1, shape: [2] } },
  ])
  t.deepEqual(engine.readBuffer('params', 0, 10), four(0, 0, 8, 7, 6, 5, -1, -1, 0, 0))
  await t.throwsAsync(engine.loadBuffer('params', [{ offset: 32, shape: [4], source }]), {
    message: /do not lie inside/,
  })
  await t.throwsAsync(engine.loadBuffer('params', [{ offset: 0, shape: [3], source }]), {
    message: /cannot fill a piece of shape \[3\]/,
  })
  truncateSync(path, 12)
  await t.throwsAsync(engine.loadBuffer('params', [{ offset: 0, shape: [4], source }]), {
    message: /lies outside the file of 12 bytes/,
  })
  engine.close()
  rmSync(folder, { recursive: true })
})

test('the profile counts calls by op and label, and costs nothing when it is off', async (t) => {
  const engine = open()
  const program = engine.compile(adding())
  const step = [{ program, inputs: inputs() }]
  await engine.run(step)
  t.deepEqual(engine.profileReport(), [])
  engine.profile(true)
  await engine.run([...step, ...step])
  const [entry] = engine.profileReport()
  t.like(entry, { op: 'add', label: 'y', calls: 2 })
  t.true(entry!.ms > 0)
  engine.profile(false)
  await engine.run(step)
  t.is(engine.profileReport()[0]!.calls, 2)
  engine.profile(true)
  t.deepEqual(engine.profileReport(), [])
  engine.close()
})

test('engines live and die with the worker thread that opened them', async (t) => {
  const source = `
    require('ts-node/register/transpile-only')
    const { parentPort } = require('node:worker_threads')
    const { openEngine } = require(${JSON.stringify(join(__dirname, '../../lib/native'))})
    const engine = openEngine({ device: '${testDevice}', computeDtype: 'f32', threads: 1 })
    const program = engine.compile(${JSON.stringify(adding())})
    const run = () => engine.run([{ program, inputs: { a: new Float32Array(4), b: new Float32Array(4).fill(2) } }])
    run().then(([{ y }]) => parentPort.postMessage(Array.from(y)))
    setInterval(run, 0)`
  const replies = await Promise.all(
    [1, 2].map(async () => {
      const worker = new Worker(source, { eval: true })
      const reply = await new Promise((resolve, reject) => {
        worker.once('message', resolve)
        worker.once('error', reject)
      })
      await worker.terminate() // while runs are under way
      return reply
    }),
  )
  t.deepEqual(replies, [
    [2, 2, 2, 2],
    [2, 2, 2, 2],
  ])
})
