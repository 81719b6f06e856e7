import test from 'ava'
import { writeFileSync } from 'node:fs'
import path from 'node:path'
import { loraOptions } from '../../lib/adapters/lora'
import { LorikeetError } from '../../lib/base/errors'
import { createTrainer } from '../../lib/train/trainer'
import { fixturePath, numbers, readFixtureTensors, relativeL2 } from '../helpers/fixture-tensors'
import { safetensorsBytes, temporaryFolder } from '../helpers/safetensors-bytes'
import { batch, caseTensors, readCase, trainerInput } from '../helpers/trainer-cases'
import { ask, openTiny, sameBits } from './tiny-pipeline'

const loraFile = (name: 'a' | 'b') => fixturePath('sd15-tiny', 'lora_inference', `lora_${name}.safetensors`)

for (const name of ['base', 'conv', 'te'] as const)
  test(`names, shapes and alphas are those of the file that sd-scripts starts from: ${name}`, async (t) => {
    const { params, init } = readCase(name)
    const expected = caseTensors(init)
    const pipe = await openTiny()
    const trainer = await createTrainer(pipe, trainerInput(params))
    const shapes = (tensors: Iterable<[string, { shape: readonly number[] }]>) =>
      Object.fromEntries([...tensors].map(([key, { shape }]) => [key, shape]))
    t.deepEqual(shapes(trainer.adapter()), shapes(expected))
    for (const [key, { data }] of trainer.adapter())
      if (key.endsWith('.alpha')) t.deepEqual([...data], numbers(expected, key))
    pipe.close()
  })

test('ups start at zero, downs uniform within 1/sqrt(fan in), of another seed with other values', async (t) => {
  const pipe = await openTiny()
  const input = {
    adapter: { kind: 'lora', rank: 8, conv_rank: 4 },
    networks: { unet: { learning_rate: 1e-4 } },
  } as const
  const fresh = async (seed: number) => {
    const trainer = await createTrainer(pipe, { ...input, seed })
    const adapter = trainer.adapter()
    trainer.close()
    return adapter
  }
  const [first, again, other] = [await fresh(0), await fresh(0), await fresh(1)]
  t.deepEqual(again, first)
  const filled: number[] = []
  for (const [key, { shape, data }] of first) {
    if (key.endsWith('.lora_up.weight'))
      t.true(
        data.every((value) => value === 0),
        key,
      )
    if (!key.endsWith('.lora_down.weight')) continue
    const bound = 1 / Math.sqrt(shape.slice(1).reduce((a, b) => a * b, 1))
    t.true(
      data.every((value) => Math.abs(value) <= bound),
      key,
    )
    t.notDeepEqual(other.get(key)!.data, data)
    filled.push(...Array.from(data, (value) => value / bound))
  }
  const mean = filled.reduce((a, b) => a + b, 0) / filled.length
  const variance = filled.reduce((a, b) => a + b * b, 0) / filled.length
  t.true(Math.abs(mean) < 0.02, `mean ${mean}`)
  t.true(Math.abs(variance - 1 / 3) < 0.01, `variance ${variance}`) // of U(-1, 1)
  pipe.close()
})

test('strength 0 has the bits of the base, for each network by itself', async (t) => {
  const pipe = await openTiny()
  const base = await ask(pipe)
  await pipe.applyLoras([
    { file: loraFile('a'), strength: 0 },
    { file: loraFile('b'), strength: 0 },
  ])
  t.true(sameBits(await ask(pipe), base))
  await pipe.applyLoras([{ file: loraFile('a'), strength: 1, clipStrength: 0 }])
  const unetOnly = await ask(pipe)
  t.deepEqual(unetOnly.context, base.context)
  t.notDeepEqual(unetOnly.prediction, base.prediction)
  await pipe.applyLoras([])
  t.true(sameBits(await ask(pipe), base))
  pipe.close()
})

/** Two LoRA files as one: ranks side by side, with each file's strength and alpha / rank moved into the up. */
function joined(files: { tensors: ReturnType<typeof readFixtureTensors>; strength: number }[]): Buffer {
  const header: Record<string, { dtype: 'F32'; shape: number[]; data_offsets: [number, number] }> = {}
  const chunks: Buffer[] = []
  let at = 0
  const put = (name: string, shape: number[], values: number[]) => {
    const bytes = Buffer.from(Float32Array.from(values).buffer)
    header[name] = { dtype: 'F32', shape, data_offsets: [at, at + bytes.length] }
    chunks.push(bytes)
    at += bytes.length
  }
  const modules = new Set(files.flatMap(({ tensors }) => [...tensors.keys()].map((key) => key.split('.')[0]!)))
  for (const module of modules) {
    const parts = files.flatMap(({ tensors, strength }) => {
      const down = tensors.get(`${module}.lora_down.weight`)
      const up = tensors.get(`${module}.lora_up.weight`)
      if (!down || !up) return []
      const rank = down.shape[0]!
      const scale = (strength * half(tensors, `${module}.alpha`)[0]!) / rank
      return [
        {
          rank,
          down,
          up,
          downs: half(tensors, `${module}.lora_down.weight`),
          ups: half(tensors, `${module}.lora_up.weight`).map((v) => v * scale),
        },
      ]
    })
    const rank = parts.reduce((sum, part) => sum + part.rank, 0)
    const [first] = parts
    const outputs = first!.up.shape[0]!
    put(`${module}.alpha`, [], [rank])
    put(
      `${module}.lora_down.weight`,
      [rank, ...first!.down.shape.slice(1)],
      parts.flatMap(({ downs }) => downs),
    )
    const rows = Array.from({ length: outputs }, (_, row) =>
      parts.flatMap((part) => part.ups.slice(row * part.rank, (row + 1) * part.rank)),
    )
    put(`${module}.lora_up.weight`, [outputs, rank, ...first!.up.shape.slice(2)], rows.flat())
  }
  return safetensorsBytes(header, Buffer.concat(chunks))
}

/** The values of an F16 tensor. */
function half(tensors: ReturnType<typeof readFixtureTensors>, name: string): number[] {
  return numbers(tensors, name).map((bits) => {
    const exponent = (bits >> 10) & 31
    const fraction = bits & 1023
    const size = exponent === 0 ? fraction * 2 ** -24 : (1 + fraction / 1024) * 2 ** (exponent - 15)
    return bits & 0x8000 ? -size : size
  })
}

test('a stack of two LoRAs equals their sum, as one LoRA of both ranks', async (t) => {
  const read = (name: 'a' | 'b') => readFixtureTensors('sd15-tiny', 'lora_inference', `lora_${name}.safetensors`)
  const file = path.join(temporaryFolder(), 'sum.safetensors')
  writeFileSync(
    file,
    joined([
      { tensors: read('a'), strength: 0.8 },
      { tensors: read('b'), strength: -0.4 },
    ]),
  )
  const pipe = await openTiny()
  await pipe.applyLoras([
    { file: loraFile('a'), strength: 0.8 },
    { file: loraFile('b'), strength: -0.4 },
  ])
  const stack = await ask(pipe)
  await pipe.applyLoras([
    { file: loraFile('b'), strength: -0.4 },
    { file: loraFile('a'), strength: 0.8 },
  ])
  const swapped = await ask(pipe)
  await pipe.applyLoras([{ file, strength: 1 }])
  const sum = await ask(pipe)
  // f32 differs from double precision by 8e-7 in these cases (their descriptions), and so do two orders of a sum.
  for (const other of [swapped, sum]) {
    t.true(relativeL2(stack.context.data, other.context.data) < 1e-5)
    t.true(relativeL2(stack.prediction.data, other.prediction.data) < 1e-5)
  }
  pipe.close()
})

test('a LoRA applied twice at half strength each equals it once', async (t) => {
  const pipe = await openTiny()
  await pipe.applyLoras([{ file: loraFile('b'), strength: 1 }])
  const once = await ask(pipe)
  await pipe.applyLoras([
    { file: loraFile('b'), strength: 0.5 },
    { file: loraFile('b'), strength: 0.5 },
  ])
  const twice = await ask(pipe)
  t.true(relativeL2(twice.prediction.data, once.prediction.data) < 1e-5)
  pipe.close()
})

test('training on top of a frozen LoRA starts from its answers and leaves it as it is', async (t) => {
  const pipe = await openTiny()
  await pipe.applyLoras([{ file: loraFile('a'), strength: 0.7 }])
  const before = await ask(pipe)
  const trainer = await createTrainer(pipe, {
    adapter: { kind: 'lora', rank: 4 },
    networks: { unet: { learning_rate: 1e-2 } },
  })
  t.true(sameBits(await ask(pipe), before))
  await trainer.step(batch(0, false))
  t.false(sameBits(await ask(pipe), before))
  trainer.close()
  t.true(sameBits(await ask(pipe), before))
  pipe.close()
})

for (const { what, rank, alpha = 1, init, pattern } of [
  {
    what: 'of another rank',
    rank: 3,
    alpha: 1.5,
    init: 'base',
    pattern: /384 tensors have no place .* lora_unet_\w+\.lora_(down|up)\.weight/,
  },
  {
    what: 'of another alpha',
    rank: 2,
    alpha: 2,
    init: 'base',
    pattern: /alpha \/ rank of lora_unet_\w+ is another; expected 1, received 0.5/,
  },
  {
    what: 'with layers that are not trained',
    rank: 2,
    init: 'te',
    pattern: /\d+ tensors have no place .* lora_te_\w+\.lora_(down|up)\.weight/,
  },
])
  test(`loading a file ${what} is refused by name`, async (t) => {
    const pipe = await openTiny()
    const trainer = await createTrainer(pipe, {
      adapter: { kind: 'lora', rank, alpha },
      networks: { unet: { learning_rate: 1e-4 } },
    })
    const file = fixturePath('sd15-tiny', 'lora', `${init}.init.safetensors`)
    const error = await t.throwsAsync(trainer.load(file), { instanceOf: LorikeetError })
    t.regex(error!.message, pattern)
    pipe.close()
  })

test('options outside their limits are refused', (t) => {
  const accepts = (options: object) => loraOptions.safeParse({ kind: 'lora', ...options }).success
  t.true(accepts({ rank: 1 }))
  t.true(accepts({ rank: 256, alpha: 0.5, conv_rank: 1, conv_alpha: 1e-3 }))
  for (const wrong of [
    { rank: 0 },
    { rank: 257 },
    { rank: 1.5 },
    { alpha: 0 },
    { alpha: -1 },
    { conv_rank: 0 },
    { rang: 4 },
  ])
    t.false(accepts(wrong), JSON.stringify(wrong))
})
