import test from 'ava'
import { LorikeetError } from '../../lib/base/errors'
import { findSampler } from '../../lib/diffusion/samplers'
import { sdSchedule } from '../../lib/diffusion/schedules'
import { torchGenerator } from '../../lib/diffusion/torch-rng'
import { generate, type GenerateOptions } from '../../lib/generate/generate'
import { relativeL2 } from '../helpers/fixture-tensors'
import { fakePipeline } from './fake-pipeline'

const small: GenerateOptions = { prompt: 'a cat', steps: 4, cfg: 5, sampler: 'euler_a', seed: 7, width: 16, height: 24 }

test('the result has one image, seed and settings for each image of each prompt', async (t) => {
  const { pipe } = fakePipeline()
  const { images, latents, seeds, settings } = await generate(pipe, { ...small, prompt: ['a cat', 'a dog'], count: 3, batch: 2 })
  t.deepEqual(latents.shape, [6, 4, 3, 2])
  t.deepEqual(images.map(({ shape }) => shape), new Array(6).fill([1, 3, 24, 16]))
  t.deepEqual(seeds, [7, 8, 9, 7, 8, 9])
  t.deepEqual(settings[4], {
    prompt: 'a dog',
    negativePrompt: '',
    steps: 4,
    sampler: 'euler_a',
    cfg: 5,
    seed: 8,
    width: 16,
    height: 24,
    clipSkip: 1,
    model: 'fake',
    loras: [],
  })
})

test('an image does not depend on how many are made with it', async (t) => {
  const three = await generate(fakePipeline().pipe, { ...small, count: 3, batch: 3 })
  for (const [i, seed] of [7, 8, 9].entries()) {
    const alone = await generate(fakePipeline().pipe, { ...small, seed })
    t.deepEqual(three.latents.data.slice(i * 24, (i + 1) * 24), alone.latents.data)
  }
})

test('the first latents are the noise of the seed', async (t) => {
  const { pipe, predictions } = fakePipeline()
  await generate(pipe, { ...small, sampler: 'ddim', steps: 1, cfg: 1 })
  t.deepEqual(predictions[0]!.latents.data, torchGenerator(7).randn(24))
})

test('an ancestral sampler draws its noise from the same generator, one step after the other', async (t) => {
  const { latents } = await generate(fakePipeline().pipe, { ...small, cfg: 1 })
  const generator = torchGenerator(7)
  const run = findSampler('euler_a').begin(sdSchedule(), 4, { prediction: 'epsilon' })
  let x: Float32Array = generator.randn(24).map((value) => value * run.initNoiseSigma)
  for (let i = 0; i < 4; i++) {
    const output = run.scaleInput(x, i).map((value) => 0.3 * value + 0.01 * 5 + 0.0001 * run.timesteps[i]!)
    x = run.step(x, output, i, generator.randn(24))
  }
  t.deepEqual(latents.data, x)
})

test('guidance goes from the negative prompt through the prompt, in one prediction or in two', async (t) => {
  const together = fakePipeline()
  const joint = await generate(together.pipe, { ...small, negativePrompt: 'blurry things' })
  t.is(together.predictions.length, 4)
  t.deepEqual(together.predictions[0]!.latents.shape, [2, 4, 3, 2])
  t.deepEqual([...together.predictions[0]!.context.data], [13, 5])

  const apart = fakePipeline()
  const separate = await generate(apart.pipe, { ...small, negativePrompt: 'blurry things', separateGuidance: true })
  t.is(apart.predictions.length, 8)
  t.deepEqual(apart.predictions[0]!.latents.shape, [1, 4, 3, 2])
  t.deepEqual(separate.latents.data, joint.latents.data)

  // Guidance of the fake is exact: as if the text were 13 + 5 (5 - 13).
  const guided = await generate(fakePipeline((v) => v + 0.01 * (13 + 5 * (5 - 13) - 5)).pipe, { ...small, cfg: 1 })
  t.true(relativeL2(joint.latents.data, guided.latents.data) < 1e-5)
})

test('without guidance the negative prompt is not looked at', async (t) => {
  const { pipe, predictions } = fakePipeline()
  await generate(pipe, { ...small, cfg: 1, negativePrompt: 'blurry' })
  t.deepEqual(predictions[0]!.latents.shape, [1, 4, 3, 2])
  t.deepEqual([...predictions[0]!.context.data], [5])
})

test('given noise takes the place of the first draw only', async (t) => {
  const noise = { data: torchGenerator(7).randn(24), shape: [1, 4, 3, 2] }
  const given = await generate(fakePipeline().pipe, { ...small, initialLatents: noise })
  const drawn = await generate(fakePipeline().pipe, small)
  t.deepEqual(given.latents.data, drawn.latents.data)
  const error = await t.throwsAsync(generate(fakePipeline().pipe, { ...small, count: 2, initialLatents: noise }), {
    instanceOf: LorikeetError,
  })
  t.is(error?.details.expected, '[2, 4, 3, 2]')
})

test('progress counts the steps of all images', async (t) => {
  const seen: [number, number][] = []
  await generate(fakePipeline().pipe, {
    ...small,
    prompt: ['a', 'b'],
    count: 3,
    batch: 2,
    onStep: (step, steps) => seen.push([step, steps]),
  })
  t.deepEqual(seen, Array.from({ length: 16 }, (_, i) => [i + 1, 16]))
})

test('sides that are no multiples of 8 are refused with the nearest that fit', async (t) => {
  const error = await t.throwsAsync(generate(fakePipeline().pipe, { ...small, width: 500 }), { instanceOf: LorikeetError })
  t.is(error?.kind, 'usage')
  t.like(error?.details, { where: 'width', received: '500', fix: 'The nearest that fits is 504' })
  for (const height of [0, -8, 12.5, NaN])
    t.is((await t.throwsAsync(generate(fakePipeline().pipe, { ...small, height }), { instanceOf: LorikeetError }))?.details.where, 'height')
})

test('numbers that make no sense are refused by name', async (t) => {
  const wrong: [string, Partial<GenerateOptions>][] = [
    ['seed', { seed: -1 }],
    ['seed', { seed: 0.5 }],
    ['seed', { seed: 2 ** 53 - 1 }],
    ['count', { count: 0 }],
    ['batch', { batch: 1.5 }],
    ['steps', { steps: 0 }],
    ['cfg', { cfg: NaN }],
    ['sampler', { sampler: 'magic' }],
    ['prompts', { prompt: [] }],
  ]
  for (const [where, options] of wrong) {
    const error = await t.throwsAsync(generate(fakePipeline().pipe, { ...small, ...options }), { instanceOf: LorikeetError })
    t.is(error?.kind, 'usage', where)
    t.is(error?.details.where, where)
  }
})

test('latents that are not finite stop the run and name the step', async (t) => {
  const { pipe } = fakePipeline((value, call) => (call === 3 ? NaN : value))
  const error = await t.throwsAsync(generate(pipe, small), { instanceOf: LorikeetError })
  t.is(error?.kind, 'diverged')
  t.is(error?.details.where, 'step 3 of 4')
})

test('LoRAs of the call replace the applied ones; without any, the applied ones stay', async (t) => {
  const { pipe, applied } = fakePipeline()
  await generate(pipe, small)
  t.deepEqual(applied, [])
  await generate(pipe, { ...small, loras: [] })
  t.deepEqual(applied, [[]])
  const { settings } = await generate(pipe, {
    ...small,
    prompt: 'a cat <lora:ohwx:0.5:0.25>',
    loras: [
      { file: '/somewhere/ohwx.safetensors', strength: 1 },
      { file: 'ink.safetensors', strength: 0.5 },
    ],
  })
  t.deepEqual(applied[1], [
    { file: '/somewhere/ohwx.safetensors', strength: 0.25, clipStrength: 0.5 },
    { file: 'ink.safetensors', strength: 0.5 },
  ])
  t.is(settings[0]!.prompt, 'a cat')
  t.deepEqual(settings[0]!.loras, [
    { name: 'ohwx', strength: 0.25, clipStrength: 0.5 },
    { name: 'ink', strength: 0.5, clipStrength: 0.5 },
  ])
})
