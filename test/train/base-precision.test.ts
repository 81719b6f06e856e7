/** A base whose matrices are stored in fewer bits: training on it is training on the values that are left. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import test from 'ava'
import { philoxNormal } from '../../lib/base/philox'
import { sd15Config } from '../../lib/models/families/sd15'
import type { WeightRequest } from '../../lib/models/scope'
import { renderStorage, storageOf, type BasePrecision, type StorageReport } from '../../lib/pipeline/base-precision'
import { compileGraph } from '../../lib/pipeline/compile'
import { openDevice } from '../../lib/pipeline/device'
import { surveyNetworks } from '../../lib/pipeline/networks'
import { loadPipeline, type Pipeline } from '../../lib/pipeline/pipeline'
import { trainerSchema, type TrainerInput } from '../../lib/recipe/trainer-options'
import { planTraining } from '../../lib/train/plan'
import { findFitting, planRun } from '../../lib/train/report'
import { buildStep } from '../../lib/train/step'
import type { DenoisingInput } from '../../lib/train/step-input'
import { createStepContext, createTrainer, type Trainer } from '../../lib/train/trainer'
import { openBaseModel } from '../../lib/pipeline/base-model'
import { quantised } from '../helpers/quantised'
import { testDevice } from '../helpers/test-device'
import { tinyRun } from './tiny-run'

const fewer = ['nf4', 'int8', 'fp8'] as const
const shape = { batch: 1, height: 8, width: 8, tokens: 77 }
const lora: TrainerInput = {
  adapter: { kind: 'lora', rank: 4 },
  networks: { unet: { learning_rate: 1e-2 } },
}

function input(step: number): DenoisingInput {
  const normal = (stream: number, extents: number[]) => ({
    data: philoxNormal({ seed: 1, stream, step }, new Float32Array(extents.reduce((a, b) => a * b, 1))),
    shape: extents,
  })
  return { latents: normal(0, [1, 4, 8, 8]), noise: normal(1, [1, 4, 8, 8]), context: normal(2, [1, 77, 64]), timesteps: [300 * step + 50] }
}

function load(computeDtype: 'f32' | 'bf16', basePrecision: BasePrecision, onStored?: (report: StorageReport) => void) {
  const device = openDevice(testDevice, { computeDtype, threads: 1 })
  return loadPipeline('demo', { device, basePrecision, ...(onStored && { onStored: (_, report) => onStored(report) }) })
}

async function threeSteps(trainer: Trainer): Promise<{ losses: number[]; factors: Map<string, Float32Array> }> {
  const losses = [(await trainer.evaluate(input(3))).loss]
  for (let step = 0; step < 3; step++) losses.push((await trainer.step(input(step))).loss)
  return { losses, factors: new Map([...trainer.adapter()].map(([name, { data }]) => [name, Float32Array.from(data)])) }
}

const compare = (a: Float32Array, b: Float32Array) => Buffer.compare(Buffer.from(a.buffer), Buffer.from(b.buffer))

/** The matrices of the UNet that would be stored. */
const matrices = (pipe: Pipeline): WeightRequest[] => {
  const { requests } = buildStep(createStepContext(pipe, trainerSchema.parse(lora)), shape)
  return requests.filter((request) => storageOf(request, 'nf4') !== 'plain')
}

async function withPipeline<T>(opening: Promise<Pipeline>, use: (pipe: Pipeline) => Promise<T>): Promise<T> {
  const pipe = await opening
  try {
    return await use(pipe)
  } finally {
    pipe.close()
  }
}

/** As they are in the model, in f32. */
const originals = withPipeline(load('f32', 'full'), async (pipe) => {
  const requests = matrices(pipe)
  await pipe.runtime.loadWeights(requests)
  return requests.map(({ name, shape }) => ({ name, shape: [...shape], values: pipe.runtime.engine.readWeight(name) }))
})

/** Trains on a base in full, whose matrices were replaced by what is left of them. */
async function onValuesLeft(computeDtype: 'f32' | 'bf16', storage: (typeof fewer)[number]) {
  const folder = mkdtempSync(join(tmpdir(), 'base-precision-'))
  try {
    return await withPipeline(load(computeDtype, 'full'), async (pipe) => {
      const trainer = await createTrainer(pipe, lora)
      await trainer.evaluate(input(3)) // loads the weights
      for (const { name, shape, values } of await originals) {
        const path = join(folder, 'values.bin')
        const left = quantised(values, storage, shape[0]!)
        writeFileSync(path, new Uint8Array(left.buffer))
        const source = { kind: 'file', path, offset: 0, bytes: left.byteLength, dtype: 'f32', shape, layout: 'plain' } as const
        await pipe.runtime.engine.addWeights([{ name, dtype: computeDtype, shape, sources: [source] }])
      }
      return threeSteps(trainer)
    })
  } finally {
    rmSync(folder, { recursive: true })
  }
}

for (const storage of fewer)
  test(`training on ${storage} gives the bits of training on what ${storage} leaves of the base`, async (t) => {
    for (const computeDtype of openDevice(testDevice).computeDtype === 'bf16' ? (['f32', 'bf16'] as const) : (['f32'] as const)) {
      const reports: StorageReport[] = []
      const stored = await withPipeline(load(computeDtype, storage, (report) => reports.push(report)), async (pipe) =>
        threeSteps(await createTrainer(pipe, lora)),
      )
      const expected = await onValuesLeft(computeDtype, storage)
      t.deepEqual(stored.losses, expected.losses)
      for (const [name, values] of expected.factors) t.is(compare(stored.factors.get(name)!, values), 0, name)
      t.is(reports.length, 1)
      t.like(reports[0], { precision: storage, stored: (await originals).length })
      t.true(reports[0]!.error > 0 && reports[0]!.error <= reports[0]!.worst!.error && reports[0]!.worst!.error < 0.2)
    }
    const full = await withPipeline(load('f32', 'full'), async (pipe) => threeSteps(await createTrainer(pipe, lora)))
    const onStored = await withPipeline(load('f32', storage), async (pipe) => threeSteps(await createTrainer(pipe, lora)))
    t.notDeepEqual(onStored.losses, full.losses)
  })

test('of Stable Diffusion 1.5 the layers of attention and feed-forward blocks are stored, and nothing else', (t) => {
  const { requests } = surveyNetworks(sd15Config)
  const all = [...new Map(requests.map((request) => [request.name, request])).values()]
  const stored = all.filter((request) => storageOf(request, 'nf4') !== 'plain')
  const parts = stored.flatMap((request) => request.parts.map(({ tensor }) => `${request.network}/${tensor}`))
  // 16 blocks with proj_in, proj_out, 8 projections of attention and 2 of the feed-forward layer; 12 with 4 and 2.
  t.is(parts.filter((name) => name.startsWith('unet/')).length, 16 * 12)
  t.is(parts.filter((name) => name.startsWith('text_encoder/')).length, 12 * 6)
  t.is(parts.length, 16 * 12 + 12 * 6)
  t.true(parts.every((name) => /\.(attentions|layers)\.\d+\..*weight$/.test(name) && !/norm|embed|vae/.test(name)))
  t.deepEqual(all.filter((request) => storageOf(request, 'full') !== 'plain'), [])
})

test('the plan of a card counts what is stored and where it lies, to the byte, and that of a CPU what it holds', async (t) => {
  const bases = (['full', ...fewer] as const).flatMap((basePrecision) => [0, 0.6].map((baseOffload) => ({ basePrecision, baseOffload })))
  for (const options of bases) {
    const { basePrecision, baseOffload } = options
    const device = openDevice('cuda-sim', { computeDtype: 'bf16' })
    await withPipeline(loadPipeline('demo', { device, ...options }), async (pipe) => {
      const context = createStepContext(pipe, trainerSchema.parse(lora))
      const { requests } = buildStep(context, shape)
      await pipe.runtime.loadWeights(requests)
      const { engine } = pipe.runtime
      for (const [name, bytes] of [['params', 4], ['grads', 4], ['shadow', 2]] as const)
        engine.createBuffer(name, bytes * context.set.elements, name === 'shadow' ? 'bf16' : 'f32')
      // Each product of the first has few rows, so that no matrix is opened in a block.
      const large = { ...shape, height: 16, width: 16 }
      for (const shapes of [[shape], [shape, large]]) {
        compileGraph(engine, buildStep(context, shapes.at(-1)!).graph)
        const { weights, host, staging } = planTraining(context, shapes)
        t.like(engine.memory(), { weights, host, staging }, `${basePrecision}, ${baseOffload} on the host, ${shapes.length} shapes`)
        t.is(staging > 0, (basePrecision !== 'full' && shapes.length > 1) || baseOffload > 0)
        t.is(host > weights, baseOffload > 0)
      }
    })
  }
  const base = openBaseModel('demo')
  const cpu = openDevice('cpu', { computeDtype: 'f32' })
  const weights = (basePrecision: BasePrecision) =>
    planTraining(createStepContext({ base, device: cpu, baseOptions: { basePrecision } }, trainerSchema.parse(lora)), [shape]).weights
  t.is(weights('nf4'), weights('full'))
})

test('a run that does not fit on a card is offered fewer bits, for the base and for the optimizer', async (t) => {
  const run = await tinyRun(t)
  const recipe = run.recipe({ base: 'random:sd15', train: { checkpointing: 'blocks' }, adapter: { kind: 'lora', rank: 64 } })
  const pipe = { base: openBaseModel('random:sd15'), device: { ...openDevice('cuda-sim'), memoryBudget: 1 } }
  const peak = (changes: Partial<typeof recipe>) => planRun(pipe, { ...recipe, ...changes }, [shape]).peak
  const eight = run.recipe({ optimizer: { kind: 'adamw8bit' } }).optimizer
  const found = (budget: number) => findFitting(pipe, recipe, [shape], budget).map(({ settings }) => settings)
  t.true(peak({ optimizer: eight }) < peak({}))
  t.deepEqual(found(peak({ optimizer: eight }))[0], ['optimizer.kind=adamw8bit'])
  t.deepEqual(found(peak({ base_precision: 'int8' })).flat().filter((setting) => /base_precision/.test(setting))[0], 'base_precision=int8')
  t.deepEqual(found(peak({ base_precision: 'nf4', optimizer: eight })), [
    ['optimizer.kind=adamw8bit', 'base_precision=nf4'],
    ['optimizer.kind=adamw8bit', 'base_offload=0.8'],
  ])
  t.deepEqual(found(peak({}) - 1).length, 2)
  t.false(found(peak({}) - 1)[1]!.includes(found(peak({}) - 1)[0]![0]!), 'the second is no more of the first')
  // The CPU would gain nothing.
  const cpu = findFitting({ ...pipe, device: openDevice('cpu', { computeDtype: 'f32' }) }, recipe, [shape], 1)
  t.deepEqual(cpu, [])
})

test('a run tells once, before its first step, what was stored, and does not go on with another precision', async (t) => {
  const run = await tinyRun(t)
  const recipe = run.recipe({ base: 'demo', base_precision: 'nf4', train: { steps: 2 }, adapter: { kind: 'lora', rank: 2 } })
  const { events } = await run.train(recipe)
  const notes = events.flatMap((event) => (event.kind === 'note' ? [event.text] : []))
  t.is(notes.filter((text) => /base_precision nf4 saves no memory here: cpu/.test(text)).length, testDevice === 'cpu' ? 1 : 0)
  const kinds = events.map(({ kind }) => kind)
  const stored = events.flatMap((event) => (event.kind === 'stored' ? [event] : []))
  t.deepEqual(stored.map(({ network }) => network), ['text_encoder', 'unet'])
  t.true(kinds.lastIndexOf('stored') < kinds.indexOf('step'))
  t.regex(renderStorage('unet', stored[1]!.report), /^unet stored as nf4: \d+ matrices, relative error 0\.0\d+ on average, 0\.\d+ at worst \([a-z_.0-9]+\); \d+ stay as they are/)
  await t.throwsAsync(run.train({ ...recipe, base_precision: 'int8' }, { resume: true }), { message: /base_precision: "nf4" before, "int8" now/ })
})
