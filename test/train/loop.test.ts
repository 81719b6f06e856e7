import test from 'ava'
import { existsSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { LorikeetError, type ErrorKind } from '../../lib/base/errors'
import { openSafetensors, readTensor } from '../../lib/formats/safetensors'
import { readPngSettings } from '../../lib/generate/png'
import type { TrainEvent } from '../../lib/train/events'
import { tinyRun } from './tiny-run'

/** The events of one kind. */
function of<K extends TrainEvent['kind']>(events: readonly TrainEvent[], kind: K) {
  return events.filter((event): event is Extract<TrainEvent, { kind: K }> => event.kind === kind)
}

async function failure(run: Promise<unknown>, kind: ErrorKind): Promise<LorikeetError> {
  const error = await run.then(
    () => undefined,
    (reason: unknown) => reason,
  )
  if (error instanceof LorikeetError && error.kind === kind) return error
  throw error ?? new Error('nothing went wrong')
}

test('a recipe becomes a LoRA, a log, samples and a checkpoint', async (t) => {
  const run = await tinyRun(t)
  const samples = {
    every_n_steps: 3,
    prompts: ['ohwx bird', { prompt: 'a wall', seed: 5 }],
    steps: 2,
    width: 64,
    height: 64,
  }
  const { result, events } = await run.train(run.recipe({ adapter: { conv_rank: 2 }, samples }))
  t.like(result, { outcome: 'done', step: 6, steps: 6, file: run.path('tiny.safetensors') })

  const kinds = events.map((event) => event.kind)
  t.true(kinds.indexOf('report') < kinds.indexOf('step'), 'the report comes before the first step')
  const losses = of(events, 'step').map(({ record }) => record.loss)
  t.is(losses.length, 6)
  t.true(losses.every((loss) => Number.isFinite(loss) && loss > 0))

  const file = openSafetensors(run.path('tiny.safetensors'))
  t.like(file.metadata, {
    ss_steps: '6',
    ss_network_dim: '4',
    ss_output_name: 'tiny',
    'modelspec.trigger_phrase': 'ohwx bird',
  })
  t.false(JSON.stringify(file.metadata).includes(run.folder), 'no path of this machine is in the file')
  const ups = [...file.tensors.keys()].filter((name) => name.endsWith('lora_up.weight'))
  t.true(
    ups.every((name) => readTensor(file, name).some((value) => value !== 0)),
    'every layer learned something',
  )

  t.deepEqual(
    readdirSync(run.path('tiny/samples')).sort(),
    [0, 1].flatMap((i) => [3, 6].map((s) => `step0000000${s}-${i}.png`)).sort(),
  )
  t.like(readPngSettings(run.path('tiny/samples/step00000006-1.png')), { prompt: 'a wall', seed: 5 })
  t.false(
    run.bytes('tiny/samples/step00000003-0.png').equals(run.bytes('tiny/samples/step00000006-0.png')),
    'samples show the training',
  )
  const lines = readFileSync(run.path('tiny/log.jsonl'), 'utf8').trim().split('\n')
  t.is(lines.length, 6 + 4)
  t.deepEqual(
    readdirSync(run.path('tiny')).filter((name) => name.startsWith('checkpoint')),
    ['checkpoint-00000006.safetensors'],
  )
})

test('three steps and three more give the bits of six', async (t) => {
  const variants: Record<string, unknown>[] = [
    { train: { noise_offset: { strength: 0.1 } }, lr_schedule: { warmup: 2 } },
    {
      train: { text_encoder_lr: 1e-3, gradient_accumulation: 2 },
      dataset: { flip_aug: true, shuffle_caption: true, keep_tokens: 1 },
    },
    { dataset: { shuffle_caption: true, caption_dropout_rate: 0.3 }, loss: { min_snr_gamma: 5 } },
  ]
  for (const variant of variants) {
    const [whole, halves] = [await tinyRun(t), await tinyRun(t)]
    await whole.train(whole.recipe(variant))
    await halves.train(halves.recipe({ ...variant, train: { ...(variant.train as object), steps: 3 } }))
    const { events } = await halves.train(halves.recipe(variant), { resume: true })
    t.deepEqual(
      of(events, 'resumed').map(({ step }) => step),
      [3],
    )
    t.deepEqual(
      of(events, 'step').map(({ record }) => record.step),
      [4, 5, 6],
    )
    t.true(tensorsOf(halves.path('tiny.safetensors')).equals(tensorsOf(whole.path('tiny.safetensors'))))
  }
})

/** All behind the header. */
function tensorsOf(file: string): Buffer {
  const bytes = readFileSync(file)
  return bytes.subarray(8 + Number(bytes.readBigUInt64LE(0)))
}

test('a run that is asked to stop saves a checkpoint, and going on gives the same file', async (t) => {
  const [whole, stopped] = [await tinyRun(t), await tinyRun(t)]
  await whole.train(whole.recipe())
  const controller = new AbortController()
  const onEvent = (event: TrainEvent) => {
    if (event.kind === 'step' && event.record.step === 2) controller.abort()
  }
  // The step that is under way when the signal comes is finished.
  const { result } = await stopped.train(stopped.recipe(), { signal: controller.signal, onEvent })
  t.like(result, { outcome: 'interrupted', step: 2, steps: 6, file: undefined })
  t.false(existsSync(stopped.path('tiny.safetensors')))
  await stopped.train(stopped.recipe(), { resume: true })
  t.true(stopped.bytes('tiny.safetensors').equals(whole.bytes('tiny.safetensors')))
  const steps = readFileSync(stopped.path('tiny/log.jsonl'), 'utf8')
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line).step)
  t.deepEqual(steps, [1, 2, 3, 4, 5, 6])
})

test('a run that is stopped before the first step says so', async (t) => {
  const run = await tinyRun(t)
  const { result } = await run.train(run.recipe(), { signal: AbortSignal.abort() })
  t.like(result, { outcome: 'interrupted', step: 0 })
})

test('a changed recipe or dataset is not resumed, and what changed is named', async (t) => {
  const run = await tinyRun(t)
  await run.train(run.recipe({ train: { steps: 2 } }))
  const resume = (overrides: Record<string, unknown>) =>
    failure(run.train(run.recipe(overrides), { resume: true }), 'usage')
  t.regex((await resume({ adapter: { rank: 8 } })).message, /adapter\.rank: 4 before, 8 now/)
  t.regex((await resume({ train: { seed: 7 } })).message, /train\.seed: 42 before, 7 now/)
  t.regex((await resume({ dataset: { batch_size: 1 } })).message, /dataset\.batch_size: 2 before, 1 now/)
  t.regex(
    (await resume({ lr_schedule: { kind: 'cosine' } })).message,
    /lr_schedule\.kind: "constant" before, "cosine" now/,
  )
  const before = run.bytes('tiny/checkpoint-00000002.safetensors')
  writeFileSync(join(run.pictures, 'bird1.txt'), 'something else')
  t.regex((await resume({})).message, /pictures or captions were added, removed or changed/)
  t.true(run.bytes('tiny/checkpoint-00000002.safetensors').equals(before))
})

test('a longer run goes on only where the learning rate does not depend on the length', async (t) => {
  const run = await tinyRun(t)
  const cosine = { lr_schedule: { kind: 'cosine' } }
  await run.train(run.recipe({ ...cosine, train: { steps: 2 } }))
  const error = await failure(run.train(run.recipe({ ...cosine, train: { steps: 3 } }), { resume: true }), 'usage')
  t.regex(error.message, /train\.steps: 2 before, 3 now, and the learning rate depends on it/)
})

test('an earlier result is neither overwritten nor mixed with a new one by accident', async (t) => {
  const run = await tinyRun(t)
  await run.train(run.recipe({ train: { steps: 2 } }))
  const error = await failure(run.train(run.recipe({ train: { steps: 1 } })), 'usage')
  t.regex(error.message, /--resume.*--overwrite/)
  await run.train(run.recipe({ train: { steps: 1 } }), { overwrite: true })
  t.deepEqual(
    readdirSync(run.path('tiny')).filter((name) => name.startsWith('checkpoint')),
    ['checkpoint-00000001.safetensors'],
  )
  t.is(readFileSync(run.path('tiny/log.jsonl'), 'utf8').trim().split('\n').length, 1)
})

test('resuming where there is nothing begins, and where all is done changes nothing', async (t) => {
  const run = await tinyRun(t)
  const { events } = await run.train(run.recipe({ train: { steps: 2 } }), { resume: true })
  t.true(of(events, 'note').some(({ text }) => /no checkpoint to resume from/.test(text)))
  const file = run.bytes('tiny.safetensors')
  const { result } = await run.train(run.recipe({ train: { steps: 2 } }), { resume: true })
  t.like(result, { outcome: 'done', step: 2 })
  t.true(run.bytes('tiny.safetensors').equals(file))
})

test('a damaged checkpoint is named, and the one before is used', async (t) => {
  const run = await tinyRun(t)
  const recipe = run.recipe({ train: { steps: 4 }, output: { checkpoint_every_n_steps: 2 } })
  await run.train(recipe)
  const whole = run.bytes('tiny.safetensors')
  const newest = run.path('tiny/checkpoint-00000004.safetensors')
  const bytes = run.bytes('tiny/checkpoint-00000004.safetensors')
  bytes[bytes.length - 5]! ^= 1
  writeFileSync(newest, bytes)
  const { events } = await run.train(recipe, { resume: true })
  t.true(of(events, 'note').some(({ text }) => text.includes(newest) && /damaged/.test(text)))
  t.deepEqual(
    of(events, 'resumed').map(({ step }) => step),
    [2],
  )
  t.true(run.bytes('tiny.safetensors').equals(whole))

  writeFileSync(newest, bytes.subarray(0, 100))
  writeFileSync(run.path('tiny/checkpoint-00000002.safetensors'), 'nothing')
  await failure(run.train(recipe, { resume: true }), 'input')
})

test('saves come when they are due, and only the last ones are kept', async (t) => {
  const run = await tinyRun(t)
  await run.train(
    run.recipe({ output: { save_every_n_steps: 2, keep_last: 1, checkpoint_every_n_steps: 1 }, train: { steps: 7 } }),
  )
  t.deepEqual(
    readdirSync(run.folder)
      .filter((name) => name.endsWith('.safetensors'))
      .sort(),
    ['tiny-step00000006.safetensors', 'tiny.safetensors'],
  )
  const checkpoints = readdirSync(run.path('tiny')).filter((name) => name.startsWith('checkpoint'))
  t.deepEqual(
    checkpoints,
    [5, 6, 7].map((step) => `checkpoint-0000000${step}.safetensors`),
  )
})

test('saves by epochs follow the length of an epoch', async (t) => {
  const run = await tinyRun(t)
  const { events } = await run.train(
    run.recipe({ output: { save_every_n_epochs: 1 }, train: { steps: undefined, epochs: 2 } }),
  )
  const [report] = of(events, 'report')
  const perEpoch = report!.dataset.length.stepsPerEpoch
  t.deepEqual(
    of(events, 'saved').map(({ step }) => step),
    [perEpoch, 2 * perEpoch],
  )
})

test('a run that explodes stops with the step and the pictures named, and keeps the last good state', async (t) => {
  const run = await tinyRun(t)
  const recipe = run.recipe({ train: { unet_lr: 100, max_grad_norm: 0, steps: 40 } })
  const error = await failure(run.train(recipe), 'diverged')
  t.regex(error.message, /^step \d+ \(1_ohwx bird\/bird\d\.png.*\): the (loss|gradients)/)
  const [, step] = /^step (\d+)/.exec(error.message)!
  const last = `tiny/checkpoint-${String(Number(step) - 1).padStart(8, '0')}.safetensors`
  const values = readTensor(openSafetensors(run.path(last)), 'params')
  t.true(values.every(Number.isFinite))
  t.false(existsSync(run.path('tiny.safetensors')))
})

test('a run that may leave out updates goes on, but not when none is left', async (t) => {
  const run = await tinyRun(t)
  const recipe = run.recipe({
    train: { unet_lr: 100, max_grad_norm: 0, steps: 200 },
    on_non_finite: 'skip',
    output: { checkpoint_every_n_steps: 0 },
  })
  const events: TrainEvent[] = []
  const error = await failure(run.train(recipe, { onEvent: (event) => events.push(event) }), 'diverged')
  t.regex(error.message, /Every update had to be left out/)
  t.true(of(events, 'note').filter(({ text }) => /this update is left out/.test(text)).length >= 40)
})

test('what does not fit is refused before anything is loaded, with settings that fit', async (t) => {
  const run = await tinyRun(t)
  const events: TrainEvent[] = []
  const recipe = run.recipe({ dataset: { batch_size: 4 } })
  const error = await failure(
    run.train(recipe, { budget: 5 * 2 ** 20, onEvent: (event) => events.push(event) }),
    'memory',
  )
  t.regex(
    error.message,
    /expected at most 5.00 MiB.*This would fit: --set train\.checkpointing=blocks|--set dataset\.batch_size=1/,
  )
  t.deepEqual([...new Set(events.map(({ kind }) => kind))], ['progress', 'report'])
})

test('the VAE can be trained in full, and comes out in a complete checkpoint', async (t) => {
  const run = await tinyRun(t)
  const recipe = run.recipe({
    adapter: { kind: 'full', rank: undefined },
    train: { steps: 2, unet_lr: 0, vae_lr: 1e-4 },
    output: { save_precision: 'float' },
  })
  const { events } = await run.train(recipe)
  t.is(of(events, 'step').length, 2)
  const file = openSafetensors(run.path('tiny.safetensors'))
  // A complete checkpoint, so that the trained VAE can be used as it is.
  const names = ['first_stage_model.decoder.conv_out.weight', 'first_stage_model.encoder.conv_in.bias', 'model.diffusion_model.out.2.bias']
  t.deepEqual(names.filter((name) => !file.tensors.has(name)), [])
})

test('training goes on from an existing LoRA', async (t) => {
  const run = await tinyRun(t)
  await run.train(run.recipe({ output: { name: 'first' }, adapter: { rank: 2 }, train: { steps: 2 } }))
  const { result } = await run.train(run.recipe({ continue_from: run.path('first.safetensors'), train: { steps: 1 } }))
  const [first, second] = [openSafetensors(run.path('first.safetensors')), openSafetensors(result.file!)]
  const name = [...first.tensors.keys()].find((key) => key.endsWith('lora_up.weight'))!
  t.deepEqual(second.tensors.get(name)!.shape, first.tensors.get(name)!.shape)
  t.deepEqual([...second.tensors.keys()].sort(), [...first.tensors.keys()].sort())
})

test('temporary files that a kill left are removed', async (t) => {
  const run = await tinyRun(t)
  await run.train(run.recipe({ train: { steps: 1 } }))
  const left = [
    run.path('.tiny.safetensors.123-0a0b0c0d.tmp'),
    run.path('tiny/.checkpoint-00000009.safetensors.9-00000000.tmp'),
  ]
  for (const file of left) writeFileSync(file, 'half')
  await run.train(run.recipe({ train: { steps: 2 } }), { resume: true })
  t.deepEqual(
    left.filter((file) => existsSync(file)),
    [],
  )
  t.true(statSync(run.path('tiny.safetensors')).size > 1000)
})
