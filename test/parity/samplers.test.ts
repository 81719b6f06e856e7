import test from 'ava'
import { findSampler } from '../../lib/diffusion/samplers'
import { generate } from '../../lib/generate/generate'
import { sample } from '../../lib/generate/sample'
import type { Values } from '../../lib/pipeline/images'
import { readFixtureJson, readFixtureTensors } from '../helpers/fixture-tensors'
import { samplerCases } from '../helpers/sampler-cases'
import { expectValues, loadTiny, values } from '../helpers/tiny-pipeline'

const tensors = readFixtureTensors('sd15-tiny', 'samplers.safetensors')
const { params, tolerance } = readFixtureJson<{
  params: { steps: number; guidance_scale: number; prompt: string; negative_prompt: string; schedulers: object }
  tolerance: { rel_l2_final: number; rel_l2_step0: number }
}>('sd15-tiny', 'samplers.json')

/** Entry i of the first dimension. */
function entry(all: Values, i: number): Values {
  const [count = 1, ...shape] = all.shape
  const size = all.data.length / count
  return { data: all.data.slice(i * size, (i + 1) * size), shape }
}

const row = (i: number) => {
  const { data, shape } = entry(values(tensors, 'emb'), i)
  return { data, shape: [1, ...shape] }
}

test('the cases are those of the fixture', (t) => {
  t.deepEqual(Object.keys(samplerCases).sort(), Object.keys(params.schedulers).sort())
})

for (const [name, [sampler, options]] of Object.entries(samplerCases))
  for (const separateGuidance of name === 'euler' ? [false, true] : [false])
    test(`${name}, left to itself, ends where diffusers ends${separateGuidance ? ', predicting both halves apart' : ''}`, async (t) => {
      const pipe = await loadTiny()
      const expected = values(tensors, `${name}.x`)
      const result = await sample(pipe, {
        sampler: findSampler(sampler),
        steps: params.steps,
        cfg: params.guidance_scale,
        noise: values(tensors, 'x_init'),
        context: row(1),
        negative: row(0),
        separateGuidance,
        stepNoise: (step) => entry(values(tensors, 'noises'), step).data,
        ...options,
        onStep(step, steps, latents) {
          if (step === 1) expectValues(t, latents, entry(expected, 0), tolerance.rel_l2_step0, 'first step')
          t.is(steps, params.steps)
        },
      })
      expectValues(t, result, entry(expected, params.steps - 1), tolerance.rel_l2_final, 'last step')
      pipe.close()
    })

test('from prompt to pixels, a picture equals that of diffusers', async (t) => {
  const pipe = await loadTiny()
  const { images, latents } = await generate(pipe, {
    prompt: params.prompt,
    negativePrompt: params.negative_prompt,
    steps: params.steps,
    cfg: params.guidance_scale,
    sampler: 'ddim',
    width: 128,
    height: 64,
    initialLatents: values(tensors, 'x_init'),
  })
  expectValues(t, latents, entry(values(tensors, 'ddim.x'), params.steps - 1), tolerance.rel_l2_final, 'latents')
  expectValues(t, images[0]!, values(tensors, 'ddim.image'), tolerance.rel_l2_final, 'image')
  pipe.close()
})
