/**
 * In bf16 an error against the f32 reference is allowed: at most three times that of PyTorch's own bf16 run of the same case
 * (scripts/fixtures/peer_bf16_errors.py).
 */
import test, { type ExecutionContext } from 'ava'
import { findSampler } from '../../lib/diffusion/samplers'
import { generate } from '../../lib/generate/generate'
import { sample } from '../../lib/generate/sample'
import type { Values } from '../../lib/pipeline/images'
import { fixturePath, floats, numbers, readFixtureJson, readFixtureTensors, relativeL2 } from '../helpers/fixture-tensors'
import { samplerCases } from '../helpers/sampler-cases'
import { loadTiny, rowsOf, values } from '../helpers/tiny-pipeline'

const peer = readFixtureJson<{ bf16: Record<string, Record<string, number>> }>('sd15-tiny', 'bf16_errors.json').bf16

function expectNoWorse(t: ExecutionContext, got: Values, expected: ArrayLike<number>, name: string, group: string): void {
  const allowed = 3 * peer[group]![name]!
  const error = relativeL2(got.data, expected)
  t.true(error <= allowed, `${group} ${name}: relative L2 ${error}, allowed ${allowed}`)
}

test('text states', async (t) => {
  const pipe = await loadTiny('bf16')
  const tensors = readFixtureTensors('sd15-tiny', 'text_encoder.safetensors')
  const { params } = readFixtureJson<{ params: { prompts: string[] } }>('sd15-tiny', 'text_encoder.json')
  const { context, pooled } = await pipe.encodeText(params.prompts)
  expectNoWorse(t, context, floats(tensors, 'last'), 'last', 'text_encoder')
  expectNoWorse(t, pooled, floats(tensors, 'pooled'), 'pooled', 'text_encoder')
  const skipped = await pipe.encodeIds(rowsOf(tensors, 'ids'), { clipSkip: 2 })
  expectNoWorse(t, skipped, floats(tensors, 'clip_skip2'), 'clip_skip2', 'text_encoder')
  pipe.close()
})

test('encoded images and decoded latents', async (t) => {
  const pipe = await loadTiny('bf16')
  const tensors = readFixtureTensors('sd15-tiny', 'vae.safetensors')
  for (const size of ['s0', 's1']) {
    const { mean, logvar } = await pipe.encodeImage(values(tensors, `${size}.image`))
    const decoded = await pipe.decodeLatents(values(tensors, `${size}.latents`))
    for (const [name, got] of Object.entries({ mean, logvar, decoded }))
      expectNoWorse(t, got, floats(tensors, `${size}.${name}`), `${size}.${name}`, 'vae')
  }
  pipe.close()
})

test('predictions', async (t) => {
  const pipe = await loadTiny('bf16')
  const tensors = readFixtureTensors('sd15-tiny', 'unet.safetensors')
  for (const name of ['a', 'b', 'odd']) {
    const [latents, context] = [values(tensors, `${name}.x`), values(tensors, `${name}.emb`)]
    const prediction = await pipe.predict({ latents, timesteps: numbers(tensors, `${name}.t`), context })
    expectNoWorse(t, prediction, floats(tensors, `${name}.y`), `${name}.y`, 'unet')
  }
  pipe.close()
})

test('text states and predictions with LoRAs', async (t) => {
  const pipe = await loadTiny('bf16')
  const tensors = readFixtureTensors('sd15-tiny', 'lora_inference', 'lora_inference.safetensors')
  const { params } = readFixtureJson<{ params: { combinations: Record<string, Record<string, number>> } }>(
    'sd15-tiny',
    'lora_inference',
    'lora_inference.json',
  )
  for (const [name, strengths] of Object.entries(params.combinations)) {
    const file = (letter: string) => fixturePath('sd15-tiny', 'lora_inference', `lora_${letter}.safetensors`)
    await pipe.applyLoras(Object.entries(strengths).map(([letter, strength]) => ({ file: file(letter), strength })))
    const context = await pipe.encodeIds(rowsOf(tensors, 'ids'))
    expectNoWorse(t, context, floats(tensors, `${name}.emb`), `${name}.emb`, 'lora_inference')
    const prediction = await pipe.predict({ latents: values(tensors, 'x'), timesteps: numbers(tensors, 't'), context })
    expectNoWorse(t, prediction, floats(tensors, `${name}.y`), `${name}.y`, 'lora_inference')
  }
  pipe.close()
})

// Latents, guidance and sampler are f32 here, so that is the run of the peer to compare with.
test('samplers', async (t) => {
  const pipe = await loadTiny('bf16')
  const tensors = readFixtureTensors('sd15-tiny', 'samplers.safetensors')
  const steps = 6
  const [emb, noises] = [floats(tensors, 'emb'), floats(tensors, 'noises')]
  const row = (i: number): Values => ({ data: emb.slice((i * emb.length) / 2, ((i + 1) * emb.length) / 2), shape: [1, 77, 8] })
  const noise = values(tensors, 'x_init')
  const size = noise.data.length
  for (const [name, [sampler, options]] of Object.entries(samplerCases)) {
    const latents = await sample(pipe, {
      sampler: findSampler(sampler),
      steps,
      cfg: 5,
      noise,
      context: row(1),
      negative: row(0),
      stepNoise: (step) => noises.slice(step * size, (step + 1) * size),
      ...options,
    })
    expectNoWorse(t, latents, floats(tensors, `${name}.x`).slice(-size), 'f32_latents.x', `samplers/${name}`)
  }
  pipe.close()
})

test('a picture from prompt to pixels', async (t) => {
  const pipe = await loadTiny('bf16')
  const tensors = readFixtureTensors('sd15-tiny', 'samplers.safetensors')
  const { images } = await generate(pipe, {
    prompt: 'a photo of a cat sitting on a red sofa',
    steps: 6,
    cfg: 5,
    sampler: 'ddim',
    width: 128,
    height: 64,
    initialLatents: values(tensors, 'x_init'),
  })
  expectNoWorse(t, images[0]!, floats(tensors, 'ddim.image'), 'f32_latents.image', 'samplers/ddim')
  pipe.close()
})
